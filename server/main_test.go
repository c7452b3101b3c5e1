package server

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/server/config"
)

// TestMistakes: what is wrong at start is one line on stderr, with file:line where a Corefile is to be mended, and
// status 1.
func TestMistakes(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // not in a cluster
	for _, c := range []struct{ name, arguments, corefile, want string }{
		{name: "not in a cluster", arguments: "-conf stdin", corefile: ". {\n log\n kubernetes cluster.local\n}\n",
			want: "stdin:3: kubernetes: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and " +
				"KUBERNETES_SERVICE_PORT must be defined; " +
				"outside a cluster give kubernetes one of the options kubeconfig, endpoint, manifests\n"},
		{name: "k8s_gateway not in a cluster", arguments: "-conf stdin",
			corefile: ". {\n kubernetes cluster.local {\n  manifests .\n }\n k8s_gateway lan.example\n}\n",
			want: "stdin:5: k8s_gateway: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and " +
				"KUBERNETES_SERVICE_PORT must be defined; " +
				"outside a cluster give k8s_gateway one of the options kubeconfig, manifests\n"},
		{name: "a missing file", arguments: "-conf stdin", corefile: ". {\n forward . tls://9.9.9.9 {\n  tls " +
			"nothere\n }\n}\n",
			want: "stdin:3: forward: tls: \"nothere\" cannot be read: no such file or directory\n"},
		{name: "no Corefile", want: "Corefile: no such file or directory; -conf FILE names another, and without any, " +
			"try: clusterdns demo\n"},
		{name: "no such command", arguments: "chek", want: "unknown command \"chek\" (did you mean \"check\"?)\n"},
		{name: "a flag without its dash", arguments: "version",
			want: "unknown command \"version\" (did you mean \"-version\"?)\n"},
		{name: "no near command", arguments: "serve",
			want: "unknown command \"serve\"; the commands are demo, records, check, explain, compare, migrate, top, tail, help, and without a command the " +
				"Corefile is served\n"},
		{name: "no such flag", arguments: "records -x", want: "flag provided but not defined: -x; clusterdns records " +
			"-h lists the flags\n"},
		{name: "no such folder", arguments: "records -f nothere", want: "-f: nothere cannot be read: no such file or " +
			"directory\n"},
		{name: "a long TTL", arguments: "records -f . -ttl 2h", want: "-ttl: got \"2h\", wants seconds or a duration " +
			"such as 1m, from 0 to 1h\n"},
		{name: "many seconds", arguments: "records -f . -ttl 3601",
			want: "-ttl: got \"3601\", wants seconds or a duration such as 1m, from 0 to 1h\n"},
		{name: "no zone", arguments: "records -f . -zone a..b", want: "-zone: \"a..b\": a name needs labels of 1 to " +
			"63 octets and at most 255 octets in all\n"},
		{name: "the root as a zone", arguments: "records -f . -zone .",
			want: "-zone: the root is not a domain such as cluster.local\n"},
		{name: "a long zone", arguments: "records -f . -zone " + strings.Repeat("abcdefghi.", 24) + "xyz",
			want: "-zone: \"" + strings.Repeat("abcdefghi.", 24) +
				"xyz\": has 245 octets and may have 243, so that dns-version below it is a name\n"},
		{name: "no such port", arguments: "demo -p 65536", want: "-p: got \"65536\", wants a port from 0 to 65535\n"},
		{name: "no port", arguments: "demo -p abc", want: "-p: got \"abc\", wants a port from 0 to 65535\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errors bytes.Buffer
			status := Main(append([]string{"clusterdns"}, strings.Fields(c.arguments)...),
				strings.NewReader(c.corefile), &out, &errors)
			if status != 1 || errors.String() != c.want {
				t.Errorf("status %d\n%s", status, &errors)
			}
		})
	}
}

// TestTakenPort: who has the port is not known, but which line asks for it is, and for the demo how to take another.
func TestTakenPort(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	port := fmt.Sprint(other.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct{ arguments, corefile, want string }{
		{"-conf stdin", ".:0 {\n bind 127.0.0.1\n health 127.0.0.1:" + port + "\n}\n",
			"stdin:3: health: listen on 127.0.0.1:" + port + ": another process, or another directive, has the TCP " +
				"port: address already in use\n"},
		{"demo -p " + port, "", "; -p PORT takes another port\n"},
	} {
		var out, errors bytes.Buffer
		status := Main(append([]string{"clusterdns"}, strings.Fields(c.arguments)...), strings.NewReader(c.corefile),
			&out, &errors)
		if status != 1 || !strings.HasSuffix(errors.String(), c.want) || strings.Count(errors.String(), "\n") != 1 {
			t.Errorf("%s: status %d\n%s", c.arguments, status, &errors)
		}
	}
}

// TestLoaderKeepsStdin: a reload of what came from standard input has the same meaning, unless its imports have
// changed.
func TestLoaderKeepsStdin(t *testing.T) {
	imported := filepath.Join(t.TempDir(), "imported")
	write := func(text string) {
		if err := os.WriteFile(imported, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("errors\n")
	c := &console{in: strings.NewReader(".:0 {\n import " + imported + "\n}\n")}
	load, err := c.loader(config.Settings{Conf: config.Stdin})
	if err != nil {
		t.Fatal(err)
	}
	digest := func() string {
		loaded, err := load()
		if err != nil {
			t.Fatal(err)
		}
		return loaded.Digest
	}
	first := digest()
	if digest() != first {
		t.Error("the second reading differs from the first")
	}
	write("debug\n")
	if digest() == first {
		t.Error("a change of an imported file is passed over")
	}
}

// TestHelp: each command says how it is called and lists its flags.
func TestHelp(t *testing.T) {
	for _, c := range commands() {
		if c.flags == "" {
			continue
		}
		var out bytes.Buffer
		status := Main([]string{"clusterdns", c.name, "-h"}, nil, &out, &out)
		if usage := "Usage: clusterdns " + c.name + " " + c.usage + "\n"; status != 0 ||
			!strings.HasPrefix(out.String(), usage) {
			t.Errorf("status %d\n%s", status, &out)
		}
		var same bytes.Buffer
		if Main([]string{"clusterdns", "help", c.name}, nil, &same, &same); same.String() != out.String() {
			t.Errorf("help %s prints\n%s", c.name, &same)
		}
		for _, flag := range regexp.MustCompile(`-[a-z]+`).FindAllString(c.usage, -1) {
			if !strings.Contains(out.String(), "  "+flag+" ") && !strings.Contains(out.String(), ", "+flag+" ") {
				t.Errorf("%s does not explain %s:\n%s", c.name, flag, &out)
			}
		}
	}
}
