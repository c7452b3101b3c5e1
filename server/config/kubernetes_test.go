package config

import (
	"strings"
	"testing"
)

// TestKubeconfigAtHome: ~ is the home of the user, as in a shell.
func TestKubeconfigAtHome(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	_, err := Parse("Corefile", []byte(". {\n kubernetes cluster.local {\n  kubeconfig ~/.kube/config\n }\n}\n"), Settings{Port: 53})
	if err == nil || !strings.Contains(err.Error(), home+"/.kube/config") {
		t.Errorf("got %v, want an error about the file in %s", err, home)
	}
}
