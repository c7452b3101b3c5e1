package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKubeconfigFiles: a relative name in a kubeconfig is that of a file beside it, wherever the process runs.
func TestKubeconfigFiles(t *testing.T) {
	const content = `
current-context: admin
contexts:
- name: admin
  context: {cluster: test}
clusters:
- name: test
  cluster: {server: "https://10.96.0.1:443", certificate-authority: ca.crt}
`
	file := filepath.Join(t.TempDir(), "config")
	check := func(want string) {
		t.Helper()
		if err := CheckKubeconfig([]byte(content), file, ""); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	check(
		"cannot be used: invalid configuration: unable to read certificate-authority " + filepath.Join(
			filepath.Dir(file),
			"ca.crt",
		),
	)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "ca.crt"), []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	check("has a wrong certificate or key: unable to load root certificates")
}
