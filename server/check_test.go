package server

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// configMaps is what kubectl prints of the two ConfigMaps of a distribution.
const configMaps = `apiVersion: v1
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: coredns, namespace: kube-system}
  data:
    Corefile: |
      .:53 {
          errors
          hosts /etc/coredns/NodeHosts {
              fallthrough
          }
          kubernetes cluster.local in-addr.arpa {
              resyncperiod 5m
              fallthrough in-addr.arpa
          }
          forward . /etc/resolv.conf {$MORE}
          import /etc/coredns/custom/*.override
      }
      import custom/*.server
    NodeHosts: |
      10.0.0.1 node
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: coredns-custom, namespace: kube-system}
  data:
    log.override: "log\n"
    two.server: |
      two.test {
          bind eth0
          forward . tls://192.0.2.1 {
              tls /etc/certs/crt /etc/certs/key
          }
      }
kind: List
`

func runCheck(t *testing.T, input string, arguments ...string) (int, string) {
	t.Helper()
	var out, errors bytes.Buffer
	status := Main(slices.Concat([]string{"clusterdns", "check", "-conf", "-"}, arguments), strings.NewReader(input), &out,
		&errors)
	if errors.Len() > 0 {
		return status, errors.String()
	}
	return status, out.String()
}

// TestCheckConfigMaps: what only a pod has is a warning, and the ConfigMap beside that of the Corefile is in custom.
func TestCheckConfigMaps(t *testing.T) {
	status, out := runCheck(t, strings.Replace(configMaps, "{$MORE}", "", 1))
	if status != 0 {
		t.Errorf("status %d", status)
	}
	for _, want := range []string{
		"warning: /etc/coredns/Corefile:7: kubernetes: resyncperiod: is outdated and has no effect\n",
		`warning: /etc/coredns/custom/two.server:2: bind: "eth0": no network interface of this name is here; the ` +
			"server needs it where it runs\n",
		`warning: /etc/coredns/custom/two.server:4: forward: tls: "/etc/certs/crt" cannot be read: file does not exist; ` +
			"the server needs it where it runs\n",
		"hosts /etc/coredns/NodeHosts for .", "forward . to /etc/resolv.conf, random\n", "log ., all, common\n",
		"\nserved: 6 directives; accepted without effect: 1; refused: 0\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("missing %q in:\n%s", want, out)
		}
	}
}

// TestCheckMissingFile: a file that only a pod has hides no mistake that is found where the file is.
func TestCheckMissingFile(t *testing.T) {
	for options, want := range map[string]string{
		"kubeconfig /missing\nnamespaces a\nnamespace_labels a=b":                       "namespaces and namespace_labels exclude each other",
		"manifests missing\nsnapshot file":                                              "snapshot: is for an API server",
		"snapshot secret /missing\nsnapshot listen :9154\nsnapshot file":                "snapshot: :9154 is not a loopback address",
		"snapshot file\nsnapshot listen :9154\nsnapshot tls /missing /missing /missing": "snapshot: peers need `snapshot secret FILE`",
	} {
		status, out := runCheck(t, ". {\n kubernetes cluster.local {\n"+options+"\n}\n}\n")
		if status != 1 || !strings.Contains(out, want) || strings.Count(out, "the server needs it where it runs") != strings.Count(options, "missing") {
			t.Errorf("%q: status %d, want %q in:\n%s", options, status, want, out)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	for _, name := range []string{file, file + ".key", file + ".private"} {
		if err := os.WriteFile(name, []byte("neither a key nor a certificate\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for directive, want := range map[string]string{
		"tls /missing /missing FILE":                                                          `tls: "FILE" has no certificate in PEM`,
		"tls /missing /missing {\n client_auth maybe\n}":                                      `client_auth: got "maybe"`,
		"forward . tls://192.0.2.1 {\n tls /missing /missing FILE\n}":                         `forward: tls: "FILE" has no certificate in PEM`,
		"forward . /missing {\n expire 20s\n max_age 10s\n}":                                  "forward: max_age 10s is less than expire 20s",
		"dnssec example.org {\n key file /missing FILE\n}":                                    `dnssec: key: "FILE": `,
		"search {\n domains /missing/x example..org\n}":                                       `search: domains: "example..org" is no domain`,
		"kubernetes cluster.local {\n endpoint https://[::1]\n tls /missing /missing FILE\n}": `kubernetes: tls: "FILE" has no certificate in PEM`,
	} {
		status, out := runCheck(t, ". {\n"+strings.ReplaceAll(directive, "FILE", file)+"\n}\n")
		want = strings.ReplaceAll(want, "FILE", file)
		if status != 1 || !strings.Contains(out, want) || strings.Contains(out, "only the other upstreams") {
			t.Errorf("%q: status %d, want %q in:\n%s", directive, status, want, out)
		}
	}
	if status, out := runCheck(t, ". {\n dnssec example.org {\n key file /missing\n }\n}\n"); status != 0 {
		t.Errorf("a key that is missing: status %d:\n%s", status, out)
	}
}

// TestCheckCompactJSON: a ConfigMap may be JSON of one line.
func TestCheckCompactJSON(t *testing.T) {
	const corefile = `".:53 {\n    forward . /etc/resolv.conf\n    import custom/*.override\n}\n"`
	for _, text := range []string{
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"coredns"},"data":{"Corefile":` + corefile + "}}",
		`{"apiVersion":"v1","data":{"Corefile":` + corefile + `},"kind":"ConfigMap"}` + "\n",
		`{"apiVersion":"v1","items":[{"data":{"Corefile":` + corefile + `},"kind":"ConfigMap"},` +
			`{"data":{"a.override":"errors"},"kind":"ConfigMap"}],"kind":"List"}`,
	} {
		if status, out := runCheck(t, text); status != 0 || !strings.Contains(out, "forward . to /etc/resolv.conf") {
			t.Errorf("%s: status %d:\n%s", text, status, out)
		}
	}
}

// TestCheckOddForms: what CoreDNS 1.15.0 starts with is taken, with a warning that says what comes of it.
func TestCheckOddForms(t *testing.T) {
	for corefile, want := range map[string]string{
		"# nothing\n":                              "stdin:1: the file has no server block",
		". {\n whoami\n ready :8181/path\n}\n":     `stdin:3: ready: "/path" is passed over`,
		". {\n whoami\n prometheus :9153/m\n}\n":   `stdin:3: prometheus: "/m" is passed over`,
		". {\n kubernetes .svc cluster.local\n}\n": `stdin:2: kubernetes: ".svc" begins with a dot`,
	} {
		if status, out := runCheck(t, corefile); status != 0 || !strings.Contains(out, "warning: "+want) {
			t.Errorf("%q: status %d, want %q in:\n%s", corefile, status, want, out)
		}
	}
}

// TestCheckVariable: an unset variable is named.
func TestCheckVariable(t *testing.T) {
	status, out := runCheck(t, configMaps)
	if status != 1 || !strings.Contains(out, "/etc/coredns/Corefile:10: forward: ") ||
		!strings.Contains(out, "(the variable MORE is not set)") || !strings.Contains(out, "refused: 1\n") {
		t.Errorf("status %d:\n%s", status, out)
	}
}

// TestCheckWithoutCorefile: ConfigMaps without a Corefile, or with two.
func TestCheckWithoutCorefile(t *testing.T) {
	for text, want := range map[string]string{
		strings.ReplaceAll(configMaps, "Corefile: |", "Other: |"):              "no ConfigMap here has a key Corefile",
		strings.ReplaceAll(configMaps, `log.override: "log\n"`, "Corefile: a"): "both have a key Corefile",
		"kind: ConfigMap\ndata: [\n":                                           "stdin: yaml",
	} {
		if status, out := runCheck(t, text); status != 1 || !strings.Contains(out, want) {
			t.Errorf("want %q, got %q", want, out)
		}
	}
}

// TestCheckJSON holds the shape that docs/commands.md promises.
func TestCheckJSON(t *testing.T) {
	const corefile = ". {\n errors\n health {\n  lame 5s\n }\n fanout . 192.0.2.1\n kubernetes {\n  upstream\n }\n}\n"
	const want = `{
  "served": 1,
  "acceptedWithoutEffect": 1,
  "refused": 2,
  "problems": [
    {
      "severity": "error",
      "at": "stdin:4",
      "text": "health: unknown option \"lame\" (options: lameduck)",
      "directive": "health",
      "canBeLeftOut": true,
      "advice": "health can be left out: there is no /health: a liveness probe that asks it fails"
    },
    {
      "severity": "error",
      "at": "stdin:6",
`
	status, out := runCheck(t, corefile, "-o", "json")
	if status != 1 || !strings.HasPrefix(out, want) {
		t.Errorf("status %d:\n%s", status, out)
	}
	var read struct {
		Problems []struct{ Severity, At, Text string }
		Summary  []string
	}
	if err := json.Unmarshal([]byte(out), &read); err != nil || len(read.Problems) != 3 || len(read.Summary) != 0 {
		t.Errorf("%v: %+v", err, read)
	}
	if last := read.Problems[2]; last.Severity != "warning" || last.At != "stdin:8" {
		t.Errorf("%+v", last)
	}
	if status, out = runCheck(t, ". {\n errors\n}\n", "-o", "json"); status != 0 ||
		json.Unmarshal([]byte(out), &read) != nil || !slices.Contains(read.Summary, "    with errors") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if status, _ := runCheck(t, "", "-o", "xml"); status != 1 {
		t.Error("-o xml is taken")
	}
}

// TestCheckDoubts: what cannot be meant is warned of.
func TestCheckDoubts(t *testing.T) {
	for corefile, want := range map[string]string{
		". {\n hosts {\n  10.0.0.1 a.test\n }\n kubernetes cluster.local\n}\n": "stdin:2: hosts: stands before kubernetes",
		"a.test {\n kubernetes cluster.local\n}\n":                             "stdin:2: kubernetes: cluster.local. is never asked for",
		"a.test {\n forward a.test 9.9.9.9\n forward b.test 9.9.9.9\n forward c.a.test 9.9.9.9\n}\n": "stdin:3: forward: b.test. " +
			"is never asked for: it is outside of the block's zones a.test.\n",
		". {\n errors\n}\n": "stdin:1: no directive of the block answers",
		". {\n bind 127.0.0.1\n forward . 127.0.0.1\n}\n":          "stdin:3: forward: 127.0.0.1:53 is where",
		". { kubernetes cluster.local }\n":                         "stdin:1: } stands behind other words",
		". {\n hosts {\n  10.0.0.300 a.test\n }\n}\n":              `stdin:3: hosts: "10.0.0.300" is no address`,
		". {\n kubernetes a\n kubernetes b\n}\n":                   "stdin:3: kubernetes: is the second of its block",
		". {\n hosts {\n  fallthrough\n  10.0.0.1 a.test\n }\n}\n": "stdin:4: hosts: 10.0.0.1 stands behind",
	} {
		if status, out := runCheck(t, corefile); status != 0 || !strings.Contains(out, "warning: "+want) {
			t.Errorf("%q: status %d, want %q in:\n%s", corefile, status, want, out)
		}
	}
}

// TestCheckOutside: each directive with zones is warned of one that is outside of its block, unless the block itself may
// ask for it.
func TestCheckOutside(t *testing.T) {
	for _, directive := range []string{
		"acl b.test {\n allow\n }", "template ANY ANY b.test {\n rcode NXDOMAIN\n }", "hosts hosts b.test", "k8s_gateway b.test",
		"file db b.test", "auto b.test {\n directory .\n }", "secondary b.test {\n transfer from 192.0.2.1\n }",
		"etcd b.test", "cache 30 b.test", "forward b.test 192.0.2.1", "grpc b.test 192.0.2.1", "kubernetes b.test",
		"kubernetes a.test\n k8s_external b.test",
	} {
		const warning = ": b.test. is never asked for: it is outside of the block's zones a.test."
		if _, out := runCheck(t, "a.test {\n whoami\n "+directive+"\n}\n"); strings.Count(out, warning) != 1 {
			t.Errorf("%s:\n%s", directive, out)
		}
		for _, block := range []string{"b.test a.test {\n", "c.b.test {\n", "test {\n", "a.test {\n rewrite name x.a.test x.b.test\n"} {
			if _, out := runCheck(t, block+directive+"\n}\n"); strings.Contains(out, "b.test. is never asked") {
				t.Errorf("%s%s:\n%s", block, directive, out)
			}
		}
	}
}

// TestCheckNewcomers: what people write at first is answered with what they have to write.
func TestCheckNewcomers(t *testing.T) {
	for text, want := range map[string]string{
		"kind: Deployment\napiVersion: apps/v1\n":                 "no ConfigMap here has a key Corefile",
		". {\n federation cluster.local {\n }\n}\n":               `stdin:2: directive "federation" was removed in CoreDNS 1.7 and can be left out`,
		"https://example.com:5353/dns-query {\n whoami\n}\n":      "takes no path, write https://example.com:5353 (the path is /dns-query)",
		". {\n whoami\n cache 3o\n}\n":                            `warning: stdin:3: cache: "3o" is read as a zone`,
		".53 {\n whoami\n}\n":                                     `stdin:1: ".53" is not a domain name or CIDR block (did you mean ".:53"?)`,
		":53 {\n whoami\n}\n":                                     `(did you mean ".:53"?)`,
		"53 {\n whoami\n}\n":                                      `warning: stdin:1: "53" is read as a zone: a port stands behind`,
		"*:53 {\n whoami\n}\n":                                    `warning: stdin:1: "*:53" is no wildcard: "." is the zone of all`,
		". {\n forward . 9.9.9.9; 1.1.1.1\n}\n":                   "(spaces separate upstreams, and a line has no end mark)",
		". {\n whoami\n log stdout\n}\n":                          "warning: stdin:3: log: stdout is read as a name",
		". {\n hosts {\n  a.test 10.0.0.1\n }\n}\n":               "passed over: the address stands first",
		". {\n forward a.test 127.0.0.1\n forward . 9.9.9.9\n}\n": "stdin:2: forward: 127.0.0.1:53 is where this block listens: it asks itself",
		". {\n whoami\n import headers\n}\n":                      `import: "headers": no snippet of this name; as a file: no such file`,
		". {\n whoami\n bind eth9\n}\n":                           `warning: stdin:3: bind: "eth9": no network interface`,
		". {\n whoami\n bind 10.0.0.300\n}\n":                     `stdin:3: bind: got "10.0.0.300", wants an address`,
		". {\n cache {\n  a\n  b\n }\n}\n":                        "keepttl, prefetch",
		"data:\n  Corefile: |\n    .:53 {\n      any\n    }\n":    "\n    any\n",
	} {
		if _, out := runCheck(t, text); !strings.Contains(out, want) {
			t.Errorf("%q: want %q in:\n%s", text, want, out)
		}
	}
	if _, out := runCheck(t, ". {\n cache 163.com\n forward . 192.0.2.1\n}\n"); strings.Contains(out, "read as a zone") {
		t.Errorf("a zone whose name begins with a digit is doubted:\n%s", out)
	}
	const twice = ". {\n cache {\n  a\n  b\n }\n}\n"
	if _, out := runCheck(t, twice); strings.Count(out, "cache can be left out") != 1 {
		t.Errorf("the advice on a directive stands once:\n%s", out)
	}
}

// TestCheckMetadata: a block that asks for labels and has no metadata is warned of, whatever directive asks.
func TestCheckMetadata(t *testing.T) {
	for directive, line := range map[string]string{
		"log":      "log . \"{name} {/a/b}\"",
		"view":     "view v {\n expr metadata('a/b') == ''\n }",
		"rewrite":  "rewrite edns0 local set 0xfff1 {a/b}",
		"template": "template IN A {\n additional \"{{ .Name }} IN TXT {{ .Meta \\\"a/b\\\" }}\"\n }",
	} {
		want := "warning: stdin:2: " + directive + ": its labels have no values: the block lacks metadata"
		if _, out := runCheck(t, ". {\n"+line+"\n whoami\n}\n"); !strings.Contains(out, want) {
			t.Errorf("missing %q in:\n%s", want, out)
		}
		if _, out := runCheck(t, ". {\n metadata\n"+line+"\n whoami\n}\n"); strings.Contains(out, "metadata,") {
			t.Errorf("got:\n%s", out)
		}
	}
	const named = ". {\n rewrite name regex a {a/b} metadata\n whoami\n}\n"
	if _, out := runCheck(t, named); !strings.Contains(out, "rewrite: its labels have no values") {
		t.Errorf("got:\n%s", out)
	}
	if _, out := runCheck(t, ". {\n log . \"{name} {a/b} {/}\"\n whoami\n}\n"); strings.Contains(out, "labels") {
		t.Errorf("got:\n%s", out)
	}
}

// TestCheckDistributions: of the Corefile of each distribution everything is served, and what is warned of is files that
// are not here.
func TestCheckDistributions(t *testing.T) {
	names, err := filepath.Glob("../testdata/peers/differ/distributions/*/Corefile")
	if err != nil || len(names) < 14 {
		t.Fatalf("%d Corefiles: %v", len(names), err)
	}
	for _, name := range names {
		var out bytes.Buffer
		status := Main([]string{"clusterdns", "check", "-conf", name}, nil, &out, &out)
		if status != 0 || !strings.HasSuffix(out.String(), "accepted without effect: 0; refused: 0\n") {
			t.Errorf("%s: status %d:\n%s", name, status, &out)
		}
		for line := range strings.Lines(out.String()) {
			if strings.HasPrefix(line, "warning: ") && !strings.Contains(line, "import: no file matches") &&
				!strings.Contains(line, "cannot be read yet") {
				t.Errorf("%s", line)
			}
		}
	}
}
