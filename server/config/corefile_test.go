package config

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the expectations of testdata/corefiles")

const corefiles = "../../testdata/corefiles/"

// island is a world of an archive's files, and a certificate in cert with its key in key: they lie at the root, which
// is the working directory too. It has one variable and one network interface.
func island(t testing.TB, a *txtar.Archive) *world {
	certificate, key := keyPair()
	files, err := txtar.FS(&txtar.Archive{Files: append(slices.Clone(a.Files),
		txtar.File{Name: "cert", Data: certificate}, txtar.File{Name: "key", Data: key})})
	if err != nil {
		t.Fatal(err)
	}
	return &world{files: files, dir: "/", getenv: islandVariable, addresses: islandInterface}
}

// keyPair makes a certificate and its key, both PEM, once.
var keyPair = sync.OnceValues(func() (certificate, key []byte) {
	public, private, _ := ed25519.GenerateKey(nil) // crypto/rand never fails
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	signed, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		panic(err)
	}
	packed, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: packed})
})

func islandVariable(name string) string {
	return map[string]string{"ZONE": "example.org", "ITSELF": "{$ITSELF}", "BRACE": "{"}[name]
}

func islandInterface(name string) ([]netip.Addr, error) {
	if name != "eth7" {
		return nil, errors.New("no such network interface")
	}
	return []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("fe80::1%eth7")}, nil
}

// TestCorefiles runs the archives of testdata/corefiles. In a good one "summary" is what the Corefile means, and
// "warnings" what it warns of. In a bad one each pair of "NAME" and "NAME.error" is a Corefile and the line that
// refuses it.
func TestCorefiles(t *testing.T) {
	names, err := filepath.Glob(corefiles + "*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { testArchive(t, name) })
	}
}

func testArchive(t *testing.T, name string) {
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w := island(t, a)
	for i := range a.Files {
		got, judged := judge(t, w, a.Files[i].Name)
		if !judged {
			continue
		}
		if *update {
			a.Files[i].Data = []byte(got)
			continue
		}
		if diff := cmp.Diff(string(a.Files[i].Data), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", a.Files[i].Name, diff)
		}
	}
	if *update {
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// judge is what a file of expectations must hold, if it is one.
func judge(t *testing.T, w *world, name string) (string, bool) {
	if corefile, bad := strings.CutSuffix(name, ".error"); bad {
		_, err := parseFile(t, w, corefile)
		if err == nil {
			t.Errorf("%s is accepted", corefile)
			return "", true
		}
		return err.Error() + "\n", true
	}
	if name != "summary" && name != "warnings" {
		return "", false
	}
	c, err := parseFile(t, w, "Corefile")
	if err != nil {
		t.Fatal(err)
	}
	if name == "warnings" {
		return strings.Join(append(c.Warnings, ""), "\n"), true
	}
	return c.Summary(), true
}

func parseFile(t *testing.T, w *world, name string) (*Config, error) {
	content, err := fs.ReadFile(w.files, name)
	if err != nil {
		t.Fatal(err)
	}
	return w.parse(name, content, Settings{Port: 53})
}
