package config

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestFiles: the Corefile and its imports are kept as they are written, without their secrets.
func TestFiles(t *testing.T) {
	const corefile = "(etcd) {\n  import secret\n}\n. {\n  import etcd\n  import secret\n  # a comment\n  whoami\n}\n"
	const secret = "etcd a.test {\n  endpoint https://root:hun@ter@2@192.0.2.1:2379\n  credentials root \"hunter 2\" # {$USER}\n}\n"
	files := &txtar.Archive{Files: []txtar.File{{Name: "secret", Data: []byte(secret)}}}
	c, err := island(t, files).parse("Corefile", []byte(strings.Replace(corefile, "  import etcd\n", "", 1)), Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Files) != 2 || c.Files[0].Name != "Corefile" || !strings.Contains(c.Files[0].Text, "# a comment") {
		t.Fatalf("%q", c.Files)
	}
	want := "etcd a.test {\n  endpoint https://***@192.0.2.1:2379\n  credentials root ***\n}\n"
	if got := c.Files[1].Text; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestFilesBound: what is kept of long files has a bound.
func TestFilesBound(t *testing.T) {
	c := &Config{}
	for _, name := range []string{"a", "b", "c"} {
		c.keep(name, []byte(strings.Repeat("# 0123456789\n", keptText/16)))
	}
	size := 0
	for _, f := range c.Files {
		size += len(f.Text)
	}
	if len(c.Files) != 3 || size > keptText || !strings.Contains(c.Files[1].Text, "too long") {
		t.Errorf("%d files, %d octets", len(c.Files), size)
	}
}
