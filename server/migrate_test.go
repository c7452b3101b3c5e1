package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/clusterdns/clusterdns/server/config"
)

// custom are ConfigMaps as kubectl prints those of k3s.
const k3sMaps = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: coredns, namespace: kube-system}
  data:
    Corefile: |
      .:53 {
          errors
          health
          ready
          kubernetes cluster.local in-addr.arpa ip6.arpa {
            pods insecure
            fallthrough in-addr.arpa ip6.arpa
          }
          hosts /etc/coredns/NodeHosts {
            ttl 60
            fallthrough
          }
          cache 30
          forward . 192.0.2.1
          import /etc/coredns/custom/*.override
      }
    NodeHosts: |
      10.0.0.1 node-1
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: coredns-custom, namespace: kube-system}
  data:
    log.override: |
      log
`

// migrated runs migrate, and returns its status and both outputs.
func migrated(in string, arguments ...string) (int, string, string) {
	var out, errors bytes.Buffer
	status := Main(append([]string{"clusterdns", "migrate"}, arguments...), strings.NewReader(in), &out, &errors)
	return status, out.String(), errors.String()
}

// TestMigrate: what changes is said, values and overlays are written.
func TestMigrate(t *testing.T) {
	status, out, mistakes := migrated(k3sMaps)
	if status != 0 || mistakes != "" {
		t.Fatalf("%d %s", status, mistakes)
	}
	for _, part := range []string{"k3s: ConfigMap coredns of kube-system, with coredns-custom\n", "served: 8 directives;",
		"   5  the cluster's names", "when it starts"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	if strings.Contains(out, "dnssec") {
		t.Errorf("what is not used is in\n%s", out)
	}
	status, out, mistakes = migrated(k3sMaps, "-o", "values")
	if status != 0 || !strings.HasPrefix(out, "# Values for") || !strings.Contains(out, "filename: NodeHosts") || !strings.HasPrefix(mistakes, "k3s") {
		t.Errorf("%d %s %s", status, out, mistakes)
	}
	dir := filepath.Join(t.TempDir(), "out")
	status, out, mistakes = migrated(k3sMaps, "-o", "kustomize", dir, "-base", "../deploy/base", "-image", "registry.example:5000/c:v1")
	if status != 0 || mistakes != "" {
		t.Fatalf("%d %s %s", status, out, mistakes)
	}
	for _, name := range []string{"beside", "join"} {
		text, err := os.ReadFile(filepath.Join(dir, name, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var k struct {
			Resources []string
			Images    []map[string]string
			Patches   []struct{ Patch string }
		}
		if err := yaml.UnmarshalStrict(text, &struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Resources  any    `json:"resources"`
			Images     any    `json:"images"`
			Patches    any    `json:"patches"`
		}{}); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		if err := yaml.Unmarshal(text, &k); err != nil || len(k.Resources) != 1 || !exists(filepath.Join(dir, name, k.Resources[0])) {
			t.Errorf("%s: %v %v", name, err, k.Resources)
		}
		if name == "beside" && (k.Images[0]["newName"] != "registry.example:5000/c" || k.Images[0]["newTag"] != "v1") {
			t.Errorf("%v", k.Images)
		}
		for _, p := range k.Patches {
			var list any
			if err := yaml.Unmarshal([]byte(p.Patch), &list); err != nil {
				t.Errorf("%s: %v\n%s", name, err, p.Patch)
			}
		}
	}
}

// TestMigrateAgain: a second run overwrites nothing that was edited, names it, and leaves no half of a file.
func TestMigrateAgain(t *testing.T) {
	dir := t.TempDir()
	beside, join := filepath.Join(dir, "beside", "kustomization.yaml"), filepath.Join(dir, "join", "kustomization.yaml")
	content := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	again := func(want int, part string, more ...string) {
		t.Helper()
		status, out, mistakes := migrated(k3sMaps, append([]string{"-o", "kustomize", dir}, more...)...)
		if status != want || !strings.Contains(mistakes, part) || strings.Contains(mistakes, join) {
			t.Errorf("%q: status %d %s %s", more, status, out, mistakes)
		}
	}
	again(0, "")
	first := content(beside)
	again(0, "") // the same is written
	edited := first + "# mine\n"
	if err := os.WriteFile(beside, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(join); err != nil {
		t.Fatal(err)
	}
	again(1, beside+": there already, with other content, so nothing is written; -force overwrites\n")
	if content(beside) != edited || exists(join) {
		t.Error("something is written")
	}
	again(0, "", "-force")
	if content(beside) != first || !exists(join) {
		t.Error("-force does not overwrite")
	}
	if files, err := os.ReadDir(filepath.Dir(beside)); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(beside, 0o700); err != nil {
		t.Fatal(err)
	}
	again(1, "is a directory", "-force")
}

// TestMigrateBase: the base is pinned, and which one it is is said.
func TestMigrateBase(t *testing.T) {
	const repository = "https://github.com/clusterdns/clusterdns//deploy/base?ref="
	commit := strings.Repeat("a", 40)
	for _, c := range []struct{ number, revision, ref, why string }{
		{"1.2.3", commit, "v1.2.3", "this version"},
		{"1.2.3-rc.1", "unknown", "v1.2.3-rc.1", "this version"},
		{"1.2.4-0.20261128150000-aaaaaaaaaaaa", commit, commit, "the commit"},
		{"1.2.3+dirty", commit, commit, "the commit"},
		{"dev", commit, commit, "the commit"},
		{"dev", "unknown", "main", "built without a version"},
	} {
		if base, why := publishedBase(c.number, c.revision); base != repository+c.ref || !strings.Contains(why, c.why) {
			t.Errorf("%s of %s: %s, %s", c.number, c.revision, base, why)
		}
	}
	dir := t.TempDir()
	for base, part := range map[string]string{
		"../deploy/base":                        "/deploy/base, as -base says.\n",
		"https://example.org/r//base?ref=v1":    "Their base is https://example.org/r//base?ref=v1, as -base says.\n",
		"git@example.org:r.git//base?ref=v1":    "Their base is git@example.org",
		"github.com/clusterdns/clusterdns//nil": "Their base is github.com/",
	} {
		if status, out, mistakes := migrated(k3sMaps, "-force", "-o", "kustomize", dir, "-base", base); status != 0 || !strings.Contains(out, part) {
			t.Errorf("%s: %d %s %s", base, status, out, mistakes)
		}
	}
	if status, _, mistakes := migrated(k3sMaps, "-o", "kustomize", dir, "-base", "../deploy"); status != 1 || mistakes !=
		"-base: ../deploy has no kustomization.yaml; a base that is not in a folder is a URL\n" {
		t.Errorf("%d %s", status, mistakes)
	}
	t.Chdir("..")
	if _, out, _ := migrated(k3sMaps, "-force", "-o", "kustomize", dir); !strings.Contains(out, "/deploy/base, in this folder.\n") {
		t.Error(out)
	}
}

// TestMigrateNext: what to do with the overlays is said in order, and the step that takes traffic says so.
func TestMigrateNext(t *testing.T) {
	configMap := func(name, namespace, corefile string) string {
		return fmt.Sprintf("kind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata: {Corefile: %q}\n", name, namespace, corefile)
	}
	const corefile = ".:53 {\n whoami\n}\n"
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"unknown": {corefile, []string{"unknown distribution: assumed is the Service kube-dns with the selector k8s-app: kube-dns",
			"1. Try: ", "No client asks it yet", "kubectl apply -k DIR/beside", "2. Check: ", "port-forward deployment/coredns 5301:53", "compare -tcp",
			"3. Switch: ", "Clients ask clusterdns from the first line on", "kubectl apply -k DIR/join", "scale deployment/coredns --replicas=0",
			"4. Back: ", "scale deployment/coredns --replicas=2", "kubectl apply -k DIR/beside\n"}},
		"kubeadm": {configMap("coredns", "kube-system", corefile), []string{"kubeadm: ConfigMap coredns of kube-system\n"}},
		"AKS": {configMap("coredns", "kube-system", ".:53 {\n template ANY ANY internal.cloudapp.net {\n rcode NXDOMAIN\n }\n}\n"),
			[]string{"AKS", "3. Switch: ", "answers a share", "DIR/join", "4. Back: clusterdns leaves the Service.\n  kubectl apply -k DIR/beside\n"}},
		"OpenShift": {configMap("dns-default", "openshift-dns", ".:5353 {\n whoami\n}\n"), []string{"OpenShift", "port-forward daemonset/dns-default 5301:5353",
			"3. Switch: the Service dns-default selects clusterdns", "get service dns-default -o jsonpath='{.spec.selector}' > DIR/selector.json\n",
			"-n openshift-dns patch service dns-default", "4. Back: ", `'"$(cat DIR/selector.json)"'`}},
	} {
		dir := t.TempDir()
		status, out, mistakes := migrated(c.in, "-o", "kustomize", dir, "-base", "../deploy/base")
		rest := out
		for _, part := range c.want {
			_, after, found := strings.Cut(rest, strings.ReplaceAll(part, "DIR", dir))
			if status != 0 || !found {
				t.Fatalf("%s: no %q in order: %d %s\n%s", name, part, status, mistakes, out)
			}
			rest = after
		}
		if name == "AKS" && strings.Contains(out, "scale") {
			t.Errorf("the add-on manager scales CoreDNS up again:\n%s", out)
		}
	}
}

// TestMigrateOurs: a directive that CoreDNS does not know, in a ConfigMap that it reads, is warned of.
func TestMigrateOurs(t *testing.T) {
	in := strings.ReplaceAll(k3sMaps, "      log\n", "      dashboard\n")
	const warning = "warning: /etc/coredns/custom/log.override:1: dashboard: CoreDNS does not know this directive: if it reads this ConfigMap too"
	if status, out, mistakes := migrated(in); status != 0 || !strings.Contains(out, warning) {
		t.Errorf("%d %s %s", status, out, mistakes)
	}
	for in, warned := range map[string]bool{in: true, k3sMaps: false, strings.ReplaceAll(in, "name: coredns,", "name: clusterdns,"): false,
		".:53 {\n dashboard\n whoami\n}\n": false} {
		var out, mistakes bytes.Buffer
		status := Main([]string{"clusterdns", "check", "-conf", "-"}, strings.NewReader(in), &out, &mistakes)
		if status != 0 || strings.Contains(out.String(), warning) != warned {
			t.Errorf("%d %s %s in\n%s", status, &out, &mistakes, in)
		}
	}
}

// TestMigrateShadow: with shadow the Corefile is a copy, which CoreDNS does not read.
func TestMigrateShadow(t *testing.T) {
	dir := t.TempDir()
	status, out, mistakes := migrated(k3sMaps, "-o", "kustomize", dir, "-shadow", "10.43.0.11")
	text, err := os.ReadFile(filepath.Join(dir, "beside", "kustomization.yaml"))
	if status != 0 || err != nil {
		t.Fatalf("%d %s %s %v", status, out, mistakes, err)
	}
	for part, has := range map[string]bool{`".:53 {\n    shadow 10.43.0.11\n    errors\n`: true, "path: /data/NodeHosts, value:": true,
		"name: coredns-custom": true, "$patch: delete": false, "configMap/name": false} {
		if strings.Contains(string(text), part) != has {
			t.Errorf("%q: want %t in\n%s", part, has, text)
		}
	}
	if status, _, mistakes := migrated(k3sMaps, "-shadow", "coredns"); status != 1 || !strings.Contains(mistakes, `"coredns" is no IP address`) {
		t.Errorf("%d %s", status, mistakes)
	}
	_, out, _ = migrated("a.test {\n whoami\n}\n\n# the root\n(s) {\n errors\n}\nb.test . {\n import s\n whoami\n}\n", "-shadow", "10.43.0.11", "-o", "values")
	if !strings.Contains(out, "- zone: .\n        use_tcp: true\n    port: 53\n    plugins:\n      - name: shadow\n        parameters: 10.43.0.11\n") {
		t.Error(out)
	}
}

// TestMigrateMistakes: what cannot be migrated is said, with where it stands.
func TestMigrateMistakes(t *testing.T) {
	for _, c := range []struct{ arguments, in, want string }{
		{"-o values", ". {\n tsig\n}\n", "/etc/coredns/Corefile"},
		{"", "kind: ConfigMap\nmetadata: {name: a}\ndata: {b: c}\n", "stdin: no ConfigMap here has a key Corefile"},
		{"-o helm", "", "-o: got \"helm\", wants kustomize DIR or values\n"},
		{"-force", "", "-force: is for -o kustomize DIR\n"},
		{"-o kustomize", "", "-o kustomize: wants a folder for the overlays after it\n"},
		{"-o kustomize -f", "", "-o kustomize: wants a folder for the overlays after it\n"},
		{"-f a -kubeconfig b", "", "-f and -kubeconfig: give one of them\n"},
		{"-configmap a", "", "-context and -configmap: are for -kubeconfig\n"},
		{"-f nothere", "", "-f: open nothere: no such file or directory\n"},
		{"-kubeconfig nothere", "", "kubeconfig: open nothere: no such file or directory\n"},
		{"-o values", "import a\nimport b\n. {\n whoami\n}\n", "values have one"},
	} {
		status, out, mistakes := migrated(c.in, strings.Fields(c.arguments)...)
		if c.arguments == "-o values" && strings.Contains(c.in, "tsig") {
			c.want = "directive \"tsig\" is not served"
		}
		if status != 1 || !strings.Contains(mistakes, c.want) {
			t.Errorf("%s: status %d %s %s", c.arguments, status, out, mistakes)
		}
	}
}

// TestMigrateCluster reads the ConfigMaps of a cluster.
func TestMigrateCluster(t *testing.T) {
	maps := map[string]string{
		"openshift-dns/dns-default": `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"dns-default","namespace":"openshift-dns"},` +
			`"data":{"Corefile":".:5353 {\n whoami\n}\n"}}`,
		"dns/mine":        `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"mine","namespace":"dns"},"data":{"Corefile":". {\n import custom/*.override\n whoami\n}\n"}}`,
		"dns/mine-custom": `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"mine-custom","namespace":"dns"},"data":{"a.override":"errors\n"}}`,
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"), "/configmaps/")
		if text, is := maps[strings.Join(parts, "/")]; is {
			fmt.Fprint(w, text)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	}))
	defer api.Close()
	defer api.CloseClientConnections()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: '%s'}}]\n", api.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, mistakes := migrated("", "-kubeconfig", kubeconfig)
	if status != 0 || !strings.HasPrefix(out, "OpenShift: ConfigMap dns-default of openshift-dns\n") {
		t.Errorf("%d %s %s", status, out, mistakes)
	}
	status, out, mistakes = migrated("", "-kubeconfig", kubeconfig, "-namespace", "dns", "-configmap", "mine")
	if status != 0 || !strings.HasPrefix(out, "unknown distribution: ConfigMap mine of dns, with mine-custom: assumed is the Service kube-dns") || !strings.Contains(out, "served: 2 directives") {
		t.Errorf("%d %s %s", status, out, mistakes)
	}
	status, _, mistakes = migrated("", "-kubeconfig", kubeconfig, "-configmap", "other")
	if status != 1 || !strings.Contains(mistakes, "no ConfigMap kube-system/other is in this cluster") {
		t.Errorf("%d %s", status, mistakes)
	}
}

// TestMigratePage: the items that migrate names are those of docs/differences.md, and each distribution that it knows has
// its chapter in docs/migrate.md.
func TestMigratePage(t *testing.T) {
	t.Chdir("..")
	text := document(t, "docs/differences.md")
	for _, d := range differences {
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d \| (.*?) \| `, d.item)).FindStringSubmatch(text)
		if row == nil {
			t.Errorf("docs/differences.md has no item %d", d.item)
		} else if d.directive != "" && !strings.Contains(row[0]+"kubernetes forward cache", d.directive) {
			t.Errorf("item %d is not about %s: %s", d.item, d.directive, row[1])
		}
	}
	page := document(t, "docs/migrate.md")
	_, values, _ := migrated(".:53 {\n  kubernetes cluster.local {\n    pods insecure\n  }\n  forward . 192.0.2.1\n}\n", "-o", "values")
	if !strings.Contains(page, "```yaml\n"+values+"```\n") {
		t.Errorf("docs/migrate.md has no\n%s", values)
	}
	for _, name := range config.Distributions() {
		if !strings.Contains(page, "\n### "+name+"\n") {
			t.Errorf("docs/migrate.md has no chapter on %s", name)
		}
	}
}
