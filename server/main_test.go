package server

import (
	"bytes"
	"strings"
	"testing"
)

// TestMistakes: what is wrong at start is one line on stderr, with file:line where a Corefile is to be mended, and status 1.
func TestMistakes(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // not in a cluster
	for _, c := range []struct{ name, arguments, corefile, want string }{
		{name: "not in a cluster", arguments: "-conf stdin", corefile: ". {\n log\n kubernetes cluster.local\n}\n",
			want: "stdin:3: kubernetes: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined; " +
				"outside a cluster give kubernetes one of the options kubeconfig, endpoint, manifests\n"},
		{name: "a missing file", arguments: "check -conf stdin", corefile: ". {\n forward . tls://9.9.9.9 {\n  tls nothere\n }\n}\n",
			want: "stdin:3: forward: tls: \"nothere\" cannot be read: no such file or directory\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errors bytes.Buffer
			status := Main(append([]string{"clusterdns"}, strings.Fields(c.arguments)...), strings.NewReader(c.corefile), &out, &errors)
			if status != 1 || errors.String() != c.want {
				t.Errorf("status %d\n%s", status, &errors)
			}
		})
	}
}
