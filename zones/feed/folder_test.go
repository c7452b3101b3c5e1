package feed

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// version is what a folder has, by the file's name in it.
type version map[string]string

// lay writes a version to a new folder of that name.
func (v version) lay(t testing.TB, folder string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range v {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(folder, name), text)
	}
}

// link makes name a link to target in one step, as the kubelet does.
func link(t testing.TB, target, name string) {
	t.Helper()
	os.Remove(name + ".new")
	if err := os.Symlink(target, name+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// zonesOf are zones and serials of a folder, in order.
func zonesOf(f *Folder) string {
	var all []string
	for _, c := range f.Counts() {
		all = append(all, c.Zone+strings.Repeat("'", int(c.Serial)))
	}
	return strings.Join(all, " ")
}

// followed is a folder of the zones below test.
func followed(t *testing.T, directory string) (*Folder, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	folder, err := NewFolder(FolderOptions{Directory: directory, Pattern: `db\.(.*)`, Origin: "${1}", Zones: []string{"test."}},
		slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return folder, &log
}

// TestFolderFollows: zones come and go with files and folders. ' is a serial.
func TestFolderFollows(t *testing.T) {
	root := t.TempDir()
	directory := filepath.Join(root, "zones")
	folder, log := followed(t, directory)
	at := func(name string) string { return filepath.Join(directory, name) }
	one, two := zoneText(1, "192.0.2.1"), zoneText(2, "192.0.2.2")
	for _, step := range []struct {
		what   string
		do     func()
		want   string
		log    string // in a line that is new; "" for none
		change bool
	}{
		{"no folder", func() {}, "", "", false},
		{"a folder appears", func() { version{"db.a.test": one, "readme": "", "db.elsewhere": one}.lay(t, directory) }, "a.test.'", "", true},
		{"nothing changes", func() {}, "a.test.'", "", false},
		{"a folder in it", func() { version{"more/db.b.test": one}.lay(t, directory) }, "a.test.' b.test.'", "", true},
		{"a zone changes", func() { replace(t, at("db.a.test"), two) }, "a.test.'' b.test.'", "", true},
		{"a zone breaks", func() { replace(t, at("db.a.test"), "broken") }, "a.test.'' b.test.'", "db.a.test:1", false},
		{"a broken file appears", func() { replace(t, at("db.c.test"), "@ IN A nothing\n") }, "a.test.'' b.test.'", "db.c.test:1", false},
		{"it stays broken", func() {}, "a.test.'' b.test.'", "", false},
		{"both are mended", func() { replace(t, at("db.c.test"), one); replace(t, at("db.a.test"), one) },
			"a.test.' b.test.' c.test.'", "", true},
		{"a second file for a zone", func() { replace(t, at("more/db.a.test"), two) }, "a.test.' b.test.' c.test.'", "", false},
		{"the first one goes", func() { os.Remove(at("db.a.test")) }, "a.test.'' b.test.' c.test.'", "gone", true},
		{"a folder in it goes", func() { os.RemoveAll(at("more")) }, "c.test.'", "gone", true},
		{"the folder goes", func() { os.Rename(directory, directory+".away") }, "c.test.'", "cannot read the folder", false},
		{"it comes back", func() { os.Rename(directory+".away", directory) }, "c.test.'", "", false},
		{"the last file goes", func() { os.Remove(at("db.c.test")) }, "", "gone", true},
	} {
		log.Reset()
		changed := folder.Changed()
		step.do()
		folder.Load()
		folder.Load()
		if got := zonesOf(folder); got != step.want {
			t.Errorf("%s: got %q, want %q", step.what, got, step.want)
		}
		if step.log != "" && !strings.Contains(log.String(), step.log) || step.log == "" && strings.Contains(log.String(), "WARN") {
			t.Errorf("%s: log:\n%s", step.what, log.String())
		}
		if closed := isClosed(changed); closed != step.change {
			t.Errorf("%s: change=%v", step.what, closed)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestMountedConfigMap: the kubelet makes a folder for each version, links ..data to it in one step, and has a link for
// each key beside. A file that is broken in a version leaves its zone, and unchanged ones are no change.
func TestMountedConfigMap(t *testing.T) {
	directory := t.TempDir()
	mount := func(name string, v version) {
		v.lay(t, filepath.Join(directory, name))
		link(t, name, filepath.Join(directory, "..data"))
		for key := range v {
			if _, err := os.Lstat(filepath.Join(directory, key)); err != nil {
				link(t, filepath.Join("..data", key), filepath.Join(directory, key))
			}
		}
	}
	one, two := zoneText(1, "192.0.2.1"), zoneText(2, "192.0.2.2")
	mount("..1", version{"db.a.test": one, "db.b.test": one})
	folder, log := followed(t, directory)
	for _, step := range []struct {
		name    string
		version version
		want    string
	}{
		{"..1", version{}, "a.test.' b.test.'"},
		{"..2", version{"db.a.test": two, "db.b.test": one}, "a.test.'' b.test.'"},
		{"..3", version{"db.a.test": "broken", "db.b.test": two}, "a.test.'' b.test.''"},
		{"..4", version{"db.a.test": two, "db.b.test": two, "db.c.test": one}, "a.test.'' b.test.'' c.test.'"},
	} {
		log.Reset()
		mount(step.name, step.version)
		folder.Load()
		if got := zonesOf(folder); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
		if broken := step.version["db.a.test"] == "broken"; broken != strings.Contains(log.String(), "WARN") {
			t.Errorf("%s: log:\n%s", step.name, log.String())
		}
	}
	os.Remove(filepath.Join(directory, "db.b.test")) // its key is gone: the kubelet takes the link away
	folder.Load()
	if got := zonesOf(folder); got != "a.test.'' c.test.'" {
		t.Errorf("got %q", got)
	}
}

// TestFolderIsALink: the directory of auto may be a link itself, and lead elsewhere one day.
func TestFolderIsALink(t *testing.T) {
	root := t.TempDir()
	directory := filepath.Join(root, "current")
	version{"db.a.test": zoneText(1, "192.0.2.1"), "db.b.test": zoneText(1, "192.0.2.1")}.lay(t, filepath.Join(root, "v1"))
	version{"db.a.test": zoneText(2, "192.0.2.1"), "db.b.test": "broken"}.lay(t, filepath.Join(root, "v2"))
	link(t, "v1", directory)
	folder, _ := followed(t, directory)
	if got := zonesOf(folder); got != "a.test.' b.test.'" {
		t.Errorf("got %q", got)
	}
	link(t, "v2", directory)
	folder.Load()
	if got := zonesOf(folder); got != "a.test.'' b.test.'" {
		t.Errorf("after the link has changed: got %q", got)
	}
}
