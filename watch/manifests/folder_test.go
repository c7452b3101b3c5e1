package manifests

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// live is a running source of manifests.
type live struct {
	folder   string
	readings chan Reading
	logged   *syncBuilder
}

type syncBuilder struct {
	mu sync.Mutex
	strings.Builder
}

func (b *syncBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}

func (b *syncBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.String()
}

// start follows a folder until the test ends, and then proves that nothing goes on.
func start(t *testing.T, folder string) *live {
	t.Helper()
	before := goleak.IgnoreCurrent()
	l := &live{folder, make(chan Reading, 100), new(syncBuilder)}
	d := &Folder{path: folder, log: slog.New(slog.NewTextHandler(io.MultiWriter(l.logged, t.Output()), nil)),
		settle: 5 * time.Millisecond, patience: time.Second, poll: 10 * time.Millisecond,
		sink: func(r Reading) { l.readings <- r }}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		goleak.VerifyNone(t, before)
	})
	return l
}

// await takes readings until one has exactly these services besides the API server's own, and returns it.
func (l *live) await(t *testing.T, names ...string) Reading {
	t.Helper()
	want := strings.Join(names, " ")
	got := "no reading"
	timeout := time.After(20 * time.Second)
	for {
		select {
		case r := <-l.readings:
			if got = serviceNames(r); got == want {
				return r
			}
		case <-timeout:
			t.Fatalf("services are %q, want %q", got, want)
		}
	}
}

func serviceNames(r Reading) string {
	var list []string
	for _, s := range kept[*object.Service](r, zones.Services) {
		if s.Key != own {
			list = append(list, s.Name)
		}
	}
	return strings.Join(list, " ")
}

// addressOf is the cluster IP of the first service.
func addressOf(r Reading) netip.Addr {
	return kept[*object.Service](r, zones.Services)[0].ClusterIPs[0]
}

func serviceText(name string) string {
	return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {ports: [{port: 80}]}\n---\n"
}

func write(t *testing.T, text string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEditsAreFollowed(t *testing.T) {
	folder := t.TempDir()
	write(t, serviceText("a"), folder, "a.yaml")
	l := start(t, folder)
	first := l.await(t, "a")

	write(t, serviceText("a")+serviceText("b"), folder, "a.yaml") // in place
	second := l.await(t, "a", "b")
	if got, want := addressOf(second), addressOf(first); got != want {
		t.Errorf("the address of a moved from %s to %s", want, got)
	}

	write(t, serviceText("c"), folder, "c.json.tmp")
	write(t, serviceText("c"), folder, ".c.yaml.swp") // an editor's
	write(t, serviceText("c"), folder, "c.tmp")
	must(t, os.Rename(filepath.Join(folder, "c.tmp"), filepath.Join(folder, "c.yaml")))
	l.await(t, "a", "b", "c")

	write(t, serviceText("d"), folder, "a.new") // renamed over a file, as editors do
	must(t, os.Rename(filepath.Join(folder, "a.new"), filepath.Join(folder, "a.yaml")))
	l.await(t, "c", "d")

	must(t, os.Mkdir(filepath.Join(folder, "sub"), 0o755))
	write(t, serviceText("e"), folder, "sub", "e.yaml")
	l.await(t, "c", "d", "e")
	write(t, serviceText("f"), folder, "sub", "e.yaml")
	l.await(t, "c", "d", "f")

	must(t, os.Remove(filepath.Join(folder, "c.yaml")))
	l.await(t, "d", "f")
	must(t, os.RemoveAll(filepath.Join(folder, "sub")))
	l.await(t, "d")
}

func TestBadEditIsSaidOnce(t *testing.T) {
	folder := t.TempDir()
	write(t, serviceText("a")+serviceText("b"), folder, "a.yaml")
	l := start(t, folder)
	l.await(t, "a", "b")
	write(t, serviceText("a")+strings.Replace(serviceText("b"), "kind", "kind: [", 1), folder, "a.yaml")
	l.await(t, "a")
	write(t, serviceText("c"), folder, "c.yaml")
	l.await(t, "a", "c")
	line := filepath.Join(folder, "a.yaml") + ":"
	if n := strings.Count(l.logged.String(), line); n != 1 {
		t.Errorf("the fault was logged %d times, want once:\n%s", n, l.logged)
	}
}

// TestConfigMap swaps the link by which kubelet changes all files of a mounted ConfigMap at once.
func TestConfigMap(t *testing.T) {
	folder := t.TempDir()
	version := func(name, text string) {
		must(t, os.Mkdir(filepath.Join(folder, name), 0o755))
		write(t, text, folder, name, "a.yaml")
		must(t, os.Symlink(name, filepath.Join(folder, "..data_tmp")))
		must(t, os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
	}
	version("..2026_01", serviceText("a"))
	must(t, os.Symlink("..data/a.yaml", filepath.Join(folder, "a.yaml")))
	l := start(t, folder)
	l.await(t, "a")
	version("..2026_02", serviceText("b"))
	must(t, os.RemoveAll(filepath.Join(folder, "..2026_01")))
	l.await(t, "b")
	version("..2026_03", serviceText("c"))
	l.await(t, "c")
}

func TestLinkedFileIsFollowed(t *testing.T) {
	folder, elsewhere := t.TempDir(), t.TempDir()
	write(t, serviceText("a"), elsewhere, "text")
	must(t, os.Symlink(filepath.Join(elsewhere, "text"), filepath.Join(folder, "a.yaml")))
	l := start(t, folder)
	l.await(t, "a")
	write(t, serviceText("b"), elsewhere, "text")
	l.await(t, "b")
}

func TestFolderIsRemovedAndMadeAgain(t *testing.T) {
	around := t.TempDir()
	folder := filepath.Join(around, "deep", "manifests")
	l := start(t, folder) // it does not exist yet
	must(t, os.Mkdir(filepath.Join(around, "deep"), 0o755))
	must(t, os.Mkdir(folder, 0o755))
	write(t, serviceText("a"), folder, "a.yaml")
	l.await(t, "a")

	must(t, os.Rename(folder, folder+".old")) // the last reading stays: nothing is handed on
	must(t, os.Mkdir(folder+".new", 0o755))
	write(t, serviceText("b"), folder+".new", "b.yaml")
	must(t, os.Rename(folder+".new", folder))
	l.await(t, "b")

	must(t, os.RemoveAll(filepath.Join(around, "deep")))
	must(t, os.MkdirAll(folder, 0o755))
	write(t, serviceText("c"), folder, "c.yaml")
	l.await(t, "c")
}

// TestMissingFolderIsNamed reads a folder that is not there.
func TestMissingFolderIsNamed(t *testing.T) {
	var logged strings.Builder
	d := &Folder{path: filepath.Join(t.TempDir(), "gone"), log: slog.New(slog.NewTextHandler(&logged, nil))}
	d.read()
	if words := "stat " + d.path + ": no such file or directory"; !strings.Contains(logged.String(), words) {
		t.Errorf("%q is not logged, but %s", words, &logged)
	}
}

func TestFolderIsALink(t *testing.T) {
	around := t.TempDir()
	for _, name := range []string{"v1", "v2"} {
		must(t, os.MkdirAll(filepath.Join(around, name, "sub"), 0o755))
		write(t, serviceText(name), around, name, "sub", "a.yaml")
	}
	folder := filepath.Join(around, "current")
	must(t, os.Symlink("v1", folder))
	l := start(t, folder)
	l.await(t, "v1")
	write(t, serviceText("edited"), around, "v1", "sub", "a.yaml")
	l.await(t, "edited")
	must(t, os.Symlink("v2", folder+".tmp"))
	must(t, os.Rename(folder+".tmp", folder))
	l.await(t, "v2")
}

// TestNeighboursDoNotConcern holds that what goes on beside the folder, and files in it that are not read, cost no
// reading.
func TestNeighboursDoNotConcern(t *testing.T) {
	around := t.TempDir()
	folder := filepath.Join(around, "m")
	must(t, os.Mkdir(folder, 0o755))
	write(t, serviceText("a"), folder, "a.yaml")
	l := start(t, folder)
	l.await(t, "a")
	write(t, "x", around, "neighbour.yaml")
	write(t, "x", folder, "notes.txt")
	write(t, serviceText("b"), folder, "b.yaml")
	l.await(t, "a", "b")
	if n := len(l.readings); n > 0 {
		t.Errorf("%d readings more than changes", n)
	}
	if n := strings.Count(l.logged.String(), "manifests: folder read"); n > 3 { // b.yaml is created, then written
		t.Errorf("%d readings, want at most 3", n)
	}
}

// TestPolling reads again where a watch cannot be had.
func TestPolling(t *testing.T) {
	d := &Folder{poll: time.Millisecond, settle: time.Millisecond, patience: time.Millisecond}
	d.wait(t.Context(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.poll = time.Hour
	d.wait(ctx, nil)
}

// TestConfigMapOfFolders follows a folder that is itself a link through "..data".
func TestConfigMapOfFolders(t *testing.T) {
	mount := t.TempDir()
	version := func(name, text string) {
		must(t, os.MkdirAll(filepath.Join(mount, name, "manifests"), 0o755))
		write(t, text, mount, name, "manifests", "a.yaml")
		must(t, os.Symlink(name, filepath.Join(mount, "..data_tmp")))
		must(t, os.Rename(filepath.Join(mount, "..data_tmp"), filepath.Join(mount, "..data")))
	}
	version("..2026_01", serviceText("a"))
	must(t, os.Symlink("..data/manifests", filepath.Join(mount, "manifests")))
	l := start(t, filepath.Join(mount, "manifests"))
	l.await(t, "a")
	version("..2026_02", serviceText("b"))
	l.await(t, "b")
}

// TestAddressesComeBack adds, beside a service and a pod, what takes their addresses: manifests that ask for them, and
// a service whose name leads to the same one. Each time they move, and that is said; when the file is gone they are
// back, as after a new start.
func TestAddressesComeBack(t *testing.T) {
	first, second := meeting(t)
	ipv6 := func(name string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\n" +
			"spec: {ipFamilies: [IPv6], ports: [{port: 80}]}\n"
	}
	folder := t.TempDir()
	write(t, ipv6(second), folder, "service.yaml")
	write(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: pod}\nspec: {containers: [{name: main, image: none}]}\n", folder, "pod.yaml")
	l := start(t, folder)
	service := claim{"service", object.Key{Namespace: "default", Name: second}, true}
	pod := claim{"pod", object.Key{Namespace: "default", Name: "pod"}, false}
	before := l.await(t, second).allocations

	for _, test := range []struct {
		claim       claim
		other, text string
	}{
		{service, "taker", fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: taker}\n"+
			"spec: {clusterIP: %q, ports: [{port: 80}]}\n", before[service])},
		{pod, "a", serviceText("a") + fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"+
			"spec: {containers: [{name: main, image: none}]}\nstatus: {podIP: %s}\n", before[pod])},
		{service, first, ipv6(first)},
	} {
		write(t, test.text, folder, "other.tmp")
		must(t, os.Rename(filepath.Join(folder, "other.tmp"), filepath.Join(folder, "other.yaml")))
		names := []string{test.other, second}
		slices.Sort(names)
		moved := l.await(t, names...).allocations[test.claim]
		if moved == before[test.claim] || !moved.IsValid() {
			t.Errorf("with %s, the address of %v is %s", test.other, test.claim, moved)
		}
		said := fmt.Sprintf("%s=default/%s from=%s to=%s", test.claim.kind, test.claim.Name, before[test.claim], moved)
		if !strings.Contains(l.logged.String(), said) {
			t.Errorf("%q is not logged", said)
		}
		must(t, os.Remove(filepath.Join(folder, "other.yaml")))
		if again := l.await(t, second).allocations; !maps.Equal(again, before) {
			t.Errorf("without %s again: %v, want %v", test.other, again, before)
		}
	}
}

// meeting are two services whose searches for an IPv6 address begin at the same place, in the order of their names.
func meeting(t *testing.T) (first, second string) {
	t.Helper()
	starts := map[uint64]string{}
	for i := range 10000 {
		c := claim{"service", object.Key{Namespace: "default", Name: fmt.Sprintf("s%04d", i)}, true}
		at := poolOf(c).start(c, 0)
		if starts[at] != "" && poolOf(c).at(at).IsValid() {
			return starts[at], c.Name
		}
		starts[at] = c.Name
	}
	t.Fatal("no two searches meet")
	return "", ""
}
