package libc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// inside is set in the namespaces, to the folder of the programs.
const inside = "CLUSTERDNS_LIBC_INSIDE"

// TestLibc runs the test again in namespaces of its own, where it asks.
func TestLibc(t *testing.T) {
	if folder := os.Getenv(inside); folder != "" {
		askAll(t, folder)
		return
	}
	folder := t.TempDir()
	for _, command := range [][]string{
		{"go", "build", "-o", folder + "/clusterdns", "../.."},
		{"go", "build", "-o", folder + "/go", "./asker"},
		{"gcc", "-o", folder + "/glibc", "c/asker.c"},
		{"musl-gcc", "-static", "-o", folder + "/musl", "c/asker.c"},
	} {
		if output, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, output)
		}
	}
	words := []string{"--net", "--mount"}
	if os.Geteuid() != 0 {
		words = append(words, "--map-root-user")
	}
	c := exec.CommandContext(t.Context(), "unshare", append(words, os.Args[0], "-test.run", "^TestLibc$", "-test.v")...)
	c.Env = append(os.Environ(), inside+"="+folder)
	output, err := c.CombinedOutput()
	if t.Log(string(output)); err != nil {
		t.Error(err)
	}
}

// questions are the names of the query log. It has one reader, so they are in order.
type questions struct {
	ended <-chan struct{} // closed when the server has
	mu    sync.Mutex
	text  bytes.Buffer
}

func (q *questions) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.text.Write(p)
}

func (q *questions) String() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.text.String()
}

// names are those that were asked for since the last call, each once where it was asked again, for the other type or
// after a failure.
func (q *questions) names(t *testing.T, number int) (names []string) {
	t.Helper()
	end := fmt.Sprintf("end-%d.test.", number)
	began := time.Now()
	for asked := (time.Time{}); !strings.Contains(q.String(), end); time.Sleep(time.Millisecond) {
		select {
		case <-q.ended:
			t.Fatal("clusterdns has ended")
		default:
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%s is not in the query log:\n%s", end, q)
		}
		if time.Since(asked) > time.Second {
			net.LookupHost(end)
			asked = time.Now()
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for line := range strings.Lines(q.text.String()) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "[INFO]" && !strings.HasPrefix(words[2], "end-") && !slices.Contains(names, words[2]) {
			names = append(names, words[2])
		}
	}
	q.text.Reset()
	return names
}

var (
	long = strings.Repeat("x", 60)
)

// cases are search lists with ndots, and names to ask for.
var cases = []struct {
	search, ndots string
	names         string
}{
	{"dev.svc.cluster.local svc.cluster.local cluster.local", "5", "web web.prod web.prod.svc.cluster.local. a.b.c.d.e a.b.c.d.e.f"},
	{"one.test nodata.test two.test servfail.test last.good", "5", "web web. nodata.x"},
	{"one.test refused.test last.good", "5", "web"},
	{"refused.test last.good", "1", "refused.x servfail.x nodata.x a.b"},
	{"one.test last.good", "2", "a.b a.b.c half half.x.y nodata.x.y servfail.x.y refused.x.y"},
	{"one.test . last.good", "5", "web"},
	{"d1.test d2.test d3.test d4.test d5.test d6.test d7.test last.good", "5", "web"},
	{"a" + long + ".test b" + long + ".test c" + long + ".test d" + long + ".test last.good", "5", "web"},
	{"one.test", "20", strings.Repeat("a.", 14) + "a " + strings.Repeat("a.", 15) + "a"},
	{"one.test", "0", "web a.b"},
	{"one.test " + long + ".test", "5", strings.Repeat(long+".", 3) + "x"},
}

// patience are the timeouts of resolv.conf that a case is tried with, in seconds: musl waits for all of it after REFUSED. A
// short one is enough unless the machine is busy, and then a libc gives up for no reason of the case.
var patience = []int{3, 30}

// askAll runs in the namespaces.
func askAll(t *testing.T, folder string) {
	conf := filepath.Join(folder, "resolv.conf")
	nss := filepath.Join(folder, "nsswitch.conf")
	if err := os.WriteFile(nss, []byte("hosts: dns\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	writeConf(t, conf, "test", "1", patience[0])
	for _, command := range []string{"ip link set lo up", "mount --bind " + conf + " /etc/resolv.conf", "mount --bind " + nss + " /etc/nsswitch.conf"} {
		if output, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, output)
		}
	}
	a := &asking{folder: folder}
	a.log.ended = serve(t, folder, &a.log)
	a.log.names(t, 0) // it serves
	agreed := 0
	for _, c := range cases {
		for _, name := range strings.Fields(c.names) {
			for _, libc := range []string{"glibc", "musl", "go"} {
				differs := ""
				for _, seconds := range patience {
					writeConf(t, conf, c.search, c.ndots, seconds)
					if differs = a.compare(t, libc, name); differs == "" {
						agreed++
						break
					}
				}
				if differs != "" {
					t.Errorf("%s, search %s, ndots %s, %s: %s", libc, c.search, c.ndots, name, differs)
				}
			}
		}
	}
	t.Logf("%d questions of three libcs agree", agreed)
	countAll(t, a)
}

// asking asks clusterdns, whose query log it reads.
type asking struct {
	folder string
	log    questions
	number int // of the names in the log that end what a command has asked for
	last   string
}

// names are those that were asked for since the last call.
func (a *asking) names(t *testing.T) []string {
	a.number++
	return a.log.names(t, a.number)
}

// compare says in what the questions of a libc are others than explain says; "" for nothing.
func (a *asking) compare(t *testing.T, libc, name string) string {
	said := run(t, filepath.Join(a.folder, libc), name)
	really := a.names(t)
	var report struct {
		Questions []struct{ Name string }
		Resolves  bool
	}
	text := run(t, filepath.Join(a.folder, "clusterdns"), "explain", name, "-libc", libc, "-o", "json")
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatal(err)
	}
	a.names(t)
	var told []string
	for _, q := range report.Questions {
		if full := q.Name + "."; !slices.Contains(told, full) {
			told = append(told, full)
		}
	}
	if slices.Equal(told, really) && report.Resolves == (said == "found\n") {
		return ""
	}
	return fmt.Sprintf("%sit asked for\n\t%q\nand explain says, resolves %v,\n\t%q", said, really, report.Resolves, told)
}

func writeConf(t *testing.T, file, search, ndots string, seconds int) {
	t.Helper()
	text := fmt.Sprintf("nameserver 127.0.0.1\nsearch %s\noptions ndots:%s timeout:%d attempts:1\n", search, ndots, seconds)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// serve runs clusterdns with its query log in log, until the test ends. The channel is closed when it has ended.
func serve(t *testing.T, folder string, log io.Writer) <-chan struct{} {
	t.Helper()
	c := exec.Command(filepath.Join(folder, "clusterdns"), "-quiet", "-conf", "Corefile")
	var mistakes bytes.Buffer
	c.Stdout, c.Stderr = log, &mistakes
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); c.Wait() }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(mistakes.String())
		}
	})
	return ended
}

// run is what a command prints. explain ends with 1 where a name does not resolve.
func run(t *testing.T, command string, words ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), command, words...).Output()
	if err != nil && !(strings.HasSuffix(command, "clusterdns") && status(err) == 1) {
		t.Fatalf("%s %q: %v", command, words, err)
	}
	return string(output)
}

func status(err error) int {
	if exit, is := err.(*exec.ExitError); is {
		return exit.ExitCode()
	}
	return -1
}
