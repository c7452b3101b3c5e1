package saved

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

var sample = About{Cluster: "7f0c", Server: "10.96.0.1:443", Authority: "aa", Selection: "bb", Serial: 17,
	At: time.Date(2026, 11, 28, 14, 2, 0, 0, time.UTC)}

// objects are a few services with their slices.
func objects(count int) (list []Section) {
	services, slices := Section{Kind: zones.Services}, Section{Kind: zones.Slices}
	for i := range count {
		k := object.Key{Namespace: "prod", Name: fmt.Sprintf("web-%d", i)}
		services.Objects = append(services.Objects, &object.Service{Key: k, Version: "7",
			ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})}})
		slices.Objects = append(slices.Objects, &object.Slice{Key: k, Version: "8", Service: k.Name,
			Ports: []object.Port{{Name: "http", Protocol: "TCP", Number: 80}}, Endpoints: "\x02\x0a\x00\x00\x01\x03web"})
	}
	return append(list, services, Section{Kind: zones.Namespaces}, slices)
}

func write(t *testing.T, sections []Section) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot")
	size, err := Write(path, sample, sections)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != size || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v, said to have %d octets", info, err, size)
	}
	return path
}

// read is all that a file has, or why it is refused.
func read(path string) (about About, list []Section, err error) {
	f, err := Open(path)
	if err != nil {
		return about, nil, err
	}
	defer f.Close()
	err = f.Each(func(kind zones.Kinds, objects []object.Object) error {
		if len(list) == 0 || list[len(list)-1].Kind != kind {
			list = append(list, Section{Kind: kind})
		}
		last := &list[len(list)-1]
		last.Objects = append(last.Objects, objects...)
		return nil
	})
	return f.About, list, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, count := range []int{0, 1, batch - 1, batch, batch + 1, 3 * batch} {
		want := objects(count)
		about, got, err := read(write(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if !about.At.Equal(sample.At) || about.Cluster != sample.Cluster || about.Serial != sample.Serial {
			t.Errorf("it is about %+v", about)
		}
		var filled []Section
		for _, s := range want {
			if len(s.Objects) > 0 {
				filled = append(filled, s)
			}
		}
		if !reflect.DeepEqual(got, filled) {
			t.Fatalf("%d objects of each kind: read %+v", count, got)
		}
	}
}

// TestTornAndDamaged cuts a file at every length, and changes each of its octets.
func TestTornAndDamaged(t *testing.T) {
	path := write(t, objects(2))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(content []byte, what string, at int) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, list, err := read(path)
		var refusal *Refusal
		if !errors.As(err, &refusal) || len(list) > 0 {
			t.Fatalf("%s %d: %v, %d kinds of objects", what, at, err, len(list))
		}
		if refusal.Reason != Torn && (refusal.Reason != Version || what != "changed octet" || at < len(magic) || at >= headSize) {
			t.Errorf("%s %d is refused as %s", what, at, refusal.Reason)
		}
	}
	for size := range whole {
		refused(whole[:size], "length", size)
	}
	for at := range whole {
		for _, bits := range []byte{0x01, 0x80, 0xff} {
			damaged := bytes.Clone(whole)
			damaged[at] ^= bits
			refused(damaged, "changed octet", at)
		}
	}
	refused(append(bytes.Clone(whole), 0), "length", len(whole)+1)
}

// TestForged gives contents that are not what Write writes a right checksum.
func TestForged(t *testing.T) {
	path := write(t, objects(1))
	whole, _ := os.ReadFile(path)
	head, body := whole[:headSize], whole[headSize:len(whole)-sha256.Size]
	kindless := append([]byte{2, '{', '}'}, 1, 0, 0)
	huge := append([]byte{2, '{', '}'}, 0xff, 0xff, 0xff, 0x7f)
	foreign := append([]byte{2, '{', '}'}, 4, 0xff, 0xff, 0xff, 0x7f, 0)
	for name, content := range map[string][]byte{
		"nothing":             nil,
		"no about":            {0},
		"about is no JSON":    {1, '['},
		"no end":              body[:len(body)-1],
		"more behind the end": append(bytes.Clone(body), 1, 2),
		"no kind":             kindless,
		"huge record":         huge,
		"kind that is none":   foreign,
	} {
		forged := append(bytes.Clone(head), content...)
		sum := sha256.Sum256(forged)
		if err := os.WriteFile(path, append(forged, sum[:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(path); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

// TestNoFile opens what is none.
func TestNoFile(t *testing.T) {
	folder := t.TempDir()
	if _, err := Open(filepath.Join(folder, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	fifo := filepath.Join(folder, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, fifo, "/dev/null"} {
		var refusal *Refusal
		if _, err := Open(path); !errors.As(err, &refusal) || refusal.Reason != Unreadable {
			t.Errorf("%s: %v", path, err)
		}
	}
	large := filepath.Join(folder, "large")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(maxFile + 1); err != nil { // it has no octets
		t.Fatal(err)
	}
	if _, err := Open(large); err == nil {
		t.Error("a file that is too large was taken")
	}
}

// TestFailedWrite has the file before stay, and nothing besides.
func TestFailedWrite(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "snapshot")
	if _, err := Write(path, sample, objects(1)); err != nil {
		t.Fatal(err)
	}
	huge := []Section{{Kind: zones.Slices, Objects: []object.Object{
		&object.Slice{Endpoints: object.Endpoints(strings.Repeat("\x00\x0a\x00\x00\x01", maxRecord/5+1))}}}}
	if _, err := Write(path, sample, huge); err == nil {
		t.Error("an object that is too large was written")
	}
	if _, err := Write(filepath.Join(folder, "missing", "snapshot"), sample, nil); err == nil || !strings.Contains(err.Error(), "emptyDir") {
		t.Errorf("no folder: %v", err)
	}
	if err := os.Mkdir(filepath.Join(folder, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(filepath.Join(folder, "taken"), sample, nil); err == nil {
		t.Error("a file was put in the place of a folder")
	}
	if _, list, err := read(path); err != nil || len(list) != 2 {
		t.Errorf("the file before: %v, %v", list, err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestFullDisk writes more than a process may, which is an error within the file, as a full disk is.
func TestFullDisk(t *testing.T) {
	const variable = "CLUSTERDNS_FULL_DISK"
	if path := os.Getenv(variable); path != "" {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 32 << 10, Max: 32 << 10}); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(path, sample, objects(2000)); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("got %v", err)
		}
		return
	}
	path := write(t, objects(1))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestFullDisk$")
	cmd.Env = append(os.Environ(), variable+"="+path)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if _, list, err := read(path); err != nil || len(list) != 2 {
		t.Errorf("the file before: %v, %v", list, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestLeftAreRemoved removes what a process that was killed has left, and not what another one writes now.
func TestLeftAreRemoved(t *testing.T) {
	path := write(t, objects(1))
	old, now := filepath.Join(filepath.Dir(path), ".snapshot.1.new"), filepath.Join(filepath.Dir(path), ".snapshot.2.new")
	for _, name := range []string{old, now} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, before, before); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(path, sample, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", old, err)
	}
	if _, err := os.Stat(now); err != nil {
		t.Error(err)
	}
}
