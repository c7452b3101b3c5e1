package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// TestDemoOffline: the Corefile of the demo needs no nameserver, as on a machine without a network.
func TestDemoOffline(t *testing.T) {
	content, err := os.ReadFile("../../testdata/cluster/Corefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		conf, warning string
		files         []txtar.File
	}{
		{conf: "missing", warning: `"/etc/resolv.conf" is neither an IP address nor a file with nameservers: ` +
			`file does not exist; only the other upstreams are asked until it has one`},
		{conf: "empty", warning: `"/etc/resolv.conf" names no nameserver; only the other upstreams are asked until it has one`,
			files: []txtar.File{{Name: "etc/resolv.conf"}}},
	} {
		loaded, err := island(t, &txtar.Archive{Files: c.files}).parse("Corefile", content, Settings{})
		if err != nil {
			t.Errorf("%s: %v", c.conf, err)
			continue
		}
		if len(loaded.Warnings) != 1 || !strings.HasSuffix(loaded.Warnings[0], c.warning) {
			t.Errorf("%s: warnings %q", c.conf, loaded.Warnings)
		}
	}
}

// TestLoad reads files of the real file system: an import relative to the Corefile, through the symbolic links that a
// mounted ConfigMap consists of.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "..data", "Corefile"),
		". {\n import more/*.conf\n import ../"+filepath.Base(dir)+"/one\n}\n")
	write(t, filepath.Join(dir, "more", "a.conf"), "errors\n")
	write(t, filepath.Join(dir, "one"), "debug\nlop\n")
	if err := os.Symlink("..data/Corefile", filepath.Join(dir, "Corefile")); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Settings{Conf: filepath.Join(dir, "Corefile")}, nil)
	want := filepath.Join(dir, "one") + `:2: unknown directive "lop"`
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = Load(Settings{Conf: filepath.Join(dir, "missing")}, nil)
	if !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "missing") != 1 {
		t.Errorf("a missing file: %v", err)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestStdin(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, filepath.Join("m", "web.yaml"), "")
	const corefile = ". {\n kubernetes cluster.local {\n manifests m\n }\n}\n"
	c, err := Load(Settings{Conf: Stdin, Port: 1053}, strings.NewReader(corefile))
	if err != nil {
		t.Fatal(err)
	}
	l := c.Listeners[0]
	b := l.Blocks[0]
	if l.Addresses[0].String() != "[::]:1053" || b.Sources[0].Objects.Manifests != "m" || b.At != "stdin:1" {
		t.Errorf("got %+v", l)
	}
}

// TestDigest: a reload happens for what changes the meaning, wherever it stands, and for nothing else.
func TestDigest(t *testing.T) {
	servers := "nameserver 10.0.0.1\n"
	parse := func(corefile, imported string) string {
		a := &txtar.Archive{Files: []txtar.File{
			{Name: "i", Data: []byte(imported)}, {Name: "servers", Data: []byte(servers)}}}
		c, err := island(t, a).parse("Corefile", []byte(corefile), Settings{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Digest
	}
	base := parse(". {\n import i\n cache 30\n}\n", "errors\n")
	if parse(". { # here\n\n import i\n  cache   30\n}\n", "# there\nerrors\n") != base {
		t.Error("a comment changes the digest")
	}
	for _, other := range []string{
		parse(". {\n import i\n cache 31\n}\n", "errors\n"),
		parse(". {\n import i\n cache 30\n}\n", "log\n"),
		parse(". {\n import i\n cache\n debug\n}\n", "errors\n")} {
		if other == base {
			t.Error("a change does not change the digest")
		}
	}
	const follows = ". {\n import i\n forward . servers\n}\n"
	base = parse(follows, "errors\n")
	if servers += "nameserver 10.0.0.2\n"; parse(follows, "errors\n") != base {
		t.Error("a nameserver changes the digest: forward itself follows the file")
	}
	const completes = ". {\n autopath servers\n}\n"
	base = parse(completes, "errors\n")
	if servers += "search a.test b.test\n"; parse(completes, "errors\n") == base {
		t.Error("another search list does not change the digest")
	}
}

// TestCap: the cap of the whole cache never undercuts that of a half, which may be set higher.
func TestCap(t *testing.T) {
	const corefile = ". {\n cache 30 {\n denial 1024 90\n }\n}\n"
	c, err := island(t, &txtar.Archive{}).parse("Corefile", []byte(corefile), Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Listeners[0].Blocks[0].Steps.Cache.MaxTTL; got != 90*time.Second {
		t.Errorf("got %v", got)
	}
}

// TestForgottenBlock: directives outside of a block are zones, as in CoreDNS, which is hardly what was meant.
func TestForgottenBlock(t *testing.T) {
	c, err := island(t, &txtar.Archive{}).parse("Corefile", []byte("forward . 9.9.9.9\n"), Settings{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `Corefile:1: "forward" is read as a zone, and nothing is done for it: ` +
		`directives stand in a block such as ".:53 { … }"`
	if !slices.Equal(c.Warnings, []string{want}) {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// TestLatin1: an octet that is not UTF-8 is warned of, in the name of a zone and in that of an option.
func TestLatin1(t *testing.T) {
	c, err := island(t, &txtar.Archive{}).parse("Corefile",
		[]byte("caf\xe9.test {\n forward . 10.0.0.1 {\n  except caf\xe9.test\n }\n}\n"), Settings{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`Corefile:1: "caf�.test" has an octet that is not UTF-8, and is no name that clients ask for`,
		`Corefile:3: forward: except: "caf�.test" has an octet that is not UTF-8, and is no name that clients ask for`,
	}
	if !slices.Equal(c.Warnings, want) {
		t.Errorf("%q", c.Warnings)
	}
}

// TestOneLine: words with control characters do not reach the log as they are.
func TestOneLine(t *testing.T) {
	_, err := island(t, &txtar.Archive{}).parse("Corefile", []byte("a\x1b {\n}\na\x1b {\n}\n"), Settings{})
	if err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%q", err)
	}
}

// TestShared: directives that mean the same have equal Options, whatever they differ in by block, so that they share a
// watch. A block that appears in two listeners has a list of its own to fill with indexes.
func TestShared(t *testing.T) {
	c, err := island(t, &txtar.Archive{}).parse("Corefile", []byte(`
a.example a.example:54 {
    kubernetes a.example {
        namespaces b a
        ttl 9
    }
}
b.example {
    kubernetes {
        namespaces a
        namespaces b
        fallthrough
    }
}
`), Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	first, second := c.Listeners[0].Blocks, c.Listeners[1].Blocks
	if first[0].Sources[0].Objects != first[1].Sources[0].Objects {
		t.Errorf("%+v and %+v do not share", first[0].Sources[0], first[1].Sources[0])
	}
	if &first[0].Steps.Kubernetes[0] == &second[0].Steps.Kubernetes[0] {
		t.Error("two listeners share a list of views")
	}
	if !slices.Equal(second[0].Steps.Zones, []string{"a.example."}) {
		t.Errorf("port 54 serves %v", second[0].Steps.Zones)
	}
}

var beginsWithPlace = regexp.MustCompile(`^[^:\n]+:[1-9][0-9]*: .+$`)

// FuzzParse: no Corefile makes it panic, and every refusal is one line that begins with file:line.
func FuzzParse(f *testing.F) {
	for _, seed := range corefileSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, corefile []byte) {
		a := &txtar.Archive{Files: []txtar.File{
			{Name: "Corefile", Data: corefile},
			{Name: "lib/a.conf", Data: []byte("cache 7\n")},
			{Name: "etc/resolv.conf", Data: []byte("nameserver 10.0.0.2\n")},
		}}
		c, err := island(t, a).parse("Corefile", corefile, Settings{Port: 53})
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				if !beginsWithPlace.MatchString(line) {
					t.Errorf("%q", err)
				}
			}
			return
		}
		c.Summary()
		for _, w := range c.Warnings {
			if !beginsWithPlace.MatchString(w) {
				t.Errorf("%q", w)
			}
		}
	})
}

func corefileSeeds(f *testing.F) (seeds [][]byte) {
	names, err := filepath.Glob(corefiles + "*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			seeds = append(seeds, file.Data)
		}
	}
	return seeds
}
