package server

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/clusterdns/clusterdns"

// rooms is what each room may import of the others. Imports point one way; resolver and watch never meet.
var rooms = map[string][]string{
	"observe":           {},
	"observe/dnstap":    {"observe"},
	"observe/shadow":    {"observe"},
	"observe/tracing":   {"observe"},
	"observe/traffic":   {"observe"},
	"zones/wire":        {},
	"zones":             {"zones/wire"},
	"zones/general":     {"zones/wire"},
	"zones/feed":        {"observe", "zones", "zones/general", "zones/wire"},
	"zones/skydns":      {"observe", "zones", "zones/wire"},
	"resolver/datagram": {"observe", "zones/wire"},
	"resolver/stream":   {"resolver/datagram", "zones/wire"},
	"resolver":          {"observe", "observe/dnstap", "observe/shadow", "observe/tracing", "resolver/datagram", "resolver/stream", "zones", "zones/feed", "zones/general", "zones/skydns", "zones/wire"},
	"watch/object":      {"zones"},
	"watch/manifests":   {"watch/object", "zones"},
	"watch/saved":       {"watch/object", "zones"},
	"watch":             {"observe", "watch/manifests", "watch/object", "watch/saved", "zones", "zones/wire"},
	"server/logs":       {"resolver", "zones/wire"},
	"server/compare":    {"observe", "observe/shadow"},
	"server/metrics":    {"observe"},
	"server/explain":    {"observe", "observe/shadow", "resolver", "server/config", "zones", "zones/wire"},
	"server/listen":     {"observe", "observe/traffic", "resolver", "resolver/datagram", "server/logs", "server/metrics", "zones/wire"},
	"server/device":     {"observe"},
	"server/admin":      {"observe", "server/listen", "server/metrics"},
	"server/page":       {"observe/traffic", "zones", "zones/wire"},
	"server/terminal":   {"observe", "server/page"},
	"server/config":     {"observe/dnstap", "observe/shadow", "observe/tracing", "server/device", "server/logs", "resolver", "watch", "zones", "zones/feed", "zones/skydns", "zones/wire"},
	"server": {"server/admin", "server/compare", "server/config", "server/device", "server/explain", "server/listen", "server/logs", "server/metrics", "server/page", "server/terminal", "observe",
		"observe/shadow", "observe/traffic", "resolver", "watch", "watch/saved", "zones", "zones/feed", "zones/wire", "testdata/cluster"},
	".":                    {"server"},
	"testdata/attack":      {},
	"testdata/bench":       {},
	"testdata/browser":     {},
	"testdata/cluster":     {},
	"testdata/libc":        {},
	"testdata/libc/asker":  {},
	"testdata/monitoring":  {},
	"testdata/mutants":     {},
	"testdata/programs":    {},
	"testdata/scrape":      {},
	"testdata/secondaries": {},
	"testdata/stories":     {},
	"testdata/transports":  {},
	"testdata/validators":  {},
	"testdata/zonefiles":   {},
}

// doors is the rooms that may know a library; tests may know any.
var doors = map[string][]string{
	"k8s.io/":                             {"watch", "watch/object", "watch/manifests"},
	"sigs.k8s.io/yaml":                    {"watch/manifests"},
	"go.yaml.in/yaml/v3":                  {"watch/manifests", "server/config"}, // sigs.k8s.io/yaml parses with it
	"github.com/go-logr/logr":             {"watch"},
	"github.com/fsnotify/fsnotify":        {"watch/manifests"},
	"github.com/spf13/viper":              {"server/config"},
	"github.com/coredns/caddy/":           {"server/config"},
	"github.com/prometheus/client_golang": {"server/metrics", "testdata/scrape"},
	"github.com/expr-lang/expr":           {"resolver"},
	"github.com/quic-go/quic-go":          {"resolver", "server/listen"},
	"golang.org/x/sys":                    {"resolver/datagram", "resolver/stream", "server/device", "server/listen", "server/terminal", "testdata/bench"},
	"github.com/miekg/dns": {"observe/shadow", "resolver", "server", "server/compare", "server/config", "server/explain", "server/listen", "server/logs", "server/page",
		"testdata/bench", "testdata/stories", "zones/feed"},
	"golang.org/x/tools/txtar": {"testdata/mutants", "testdata/stories"},
}

// TestImports holds the rooms to the picture of the house in ARCHITECTURE.md.
func TestImports(t *testing.T) {
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && nested(root, name):
			return fs.SkipDir
		case path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go"):
			checkImports(t, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// nested reports whether folder is hidden or a Go module of its own.
func nested(root fs.FS, folder string) bool {
	_, err := fs.Stat(root, path.Join(folder, "go.mod"))
	return folder != "." && (err == nil || strings.HasPrefix(path.Base(folder), "."))
}

func checkImports(t *testing.T, name string) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", name), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	room := path.Dir(name)
	if _, known := rooms[room]; !known {
		t.Errorf("%s: %s is not a room of the house", name, room)
	}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if other, ours := strings.CutPrefix(imported, module+"/"); ours {
			if !slices.Contains(rooms[room], other) {
				t.Errorf("%s: %s may not import %s", name, room, other)
			}
		} else if strings.Contains(strings.Split(imported, "/")[0], ".") && !mayImport(room, imported) {
			t.Errorf("%s: %s is not a door to %s", name, room, imported)
		}
	}
}

func mayImport(room, library string) bool {
	for prefix, allowed := range doors {
		if strings.HasPrefix(library, prefix) {
			return slices.Contains(allowed, room)
		}
	}
	return false
}

// TestTopLevel holds the top level to the rooms.
func TestTopLevel(t *testing.T) {
	want := []string{"ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "Corefile.example", "LICENSE", "README.md", "SECURITY.md",
		"deploy", "docs", "findings", "go.mod", "go.sum", "main.go", "observe", "resolver", "server", "testdata", "watch", "zones"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && !slices.Contains(want, name) && name != "clusterdns" {
			t.Errorf("%s has no place at the top level", name)
		}
	}
}
