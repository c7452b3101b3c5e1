package server

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// TestRecordsZoneFile loads what `records` prints as a name server would: one SOA, first; name servers that have
// addresses; no record twice; nothing beside an alias. Equal manifests print equal files, and the TTL may be a duration
// or seconds.
func TestRecordsZoneFile(t *testing.T) {
	print := func(ttl string) string {
		var out, errors bytes.Buffer
		if status := Main([]string{"clusterdns", "records", "-f", "../testdata/cluster", "-zone", "Cluster.Example",
			"-ttl", ttl}, nil, &out, &errors); status != 0 {
			t.Fatalf("status %d\n%s", status, &errors)
		}
		return out.String()
	}
	text := print("1m")
	if again := print("60"); again != text {
		t.Errorf("it printed\n%s\nand then\n%s", text, again)
	}
	const zone = "cluster.example."
	types := map[string]map[uint16]int{} // by owner
	seen := map[string]bool{}
	var nameServers []string
	parser := dns.NewZoneParser(bytes.NewReader([]byte(text)), zone, "")
	for record, ok := parser.Next(); ok; record, ok = parser.Next() {
		h := record.Header()
		if _, isSOA := record.(*dns.SOA); isSOA != (len(seen) == 0) || isSOA && h.Name != zone {
			t.Errorf("%s: the SOA of the zone is to be the first record, and the only one", record)
		}
		if ns, ok := record.(*dns.NS); ok && h.Name == zone {
			nameServers = append(nameServers, ns.Ns)
		}
		if seen[record.String()] {
			t.Errorf("%s: twice", record)
		}
		seen[record.String()] = true
		if types[h.Name] == nil {
			types[h.Name] = map[uint16]int{}
		}
		types[h.Name][h.Rrtype]++
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	if len(nameServers) == 0 || types[nameServers[0]][dns.TypeA] == 0 {
		t.Errorf("name servers %q, and their addresses", nameServers)
	}
	if types["dns-version."+zone][dns.TypeTXT] != 1 || len(seen) < 200 {
		t.Errorf("%d records", len(seen))
	}
	for owner, has := range types {
		if has[dns.TypeCNAME] > 0 && len(has) > 1 {
			t.Errorf("%s has an alias and other records", owner)
		}
	}
}

// TestRecordsIgnores: a kind that is misspelt has no names, which is printed.
func TestRecordsIgnores(t *testing.T) {
	folder := t.TempDir()
	const manifests = "{apiVersion: v1, kind: Servce, metadata: {name: web}}\n---\n{apiVersion: v1, kind: ConfigMap, " +
		"metadata: {name: a}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n"
	if err := os.WriteFile(filepath.Join(folder, "web.yaml"), []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errors bytes.Buffer
	status := Main([]string{"clusterdns", "records", "-f", folder}, nil, &out, &errors)
	if want := "ignored (has no DNS names): ConfigMap (2)\nignored (has no DNS names): Servce (1)\n"; status != 0 ||
		errors.String() != want {
		t.Errorf("status %d, said %q", status, &errors)
	}
}

// runRecords runs records with a folder of the test in the place of DIR.
func runRecords(t *testing.T, folder, stdin, line string) (status int, out, said string) {
	t.Helper()
	var o, e bytes.Buffer
	arguments := append([]string{"clusterdns", "records"}, strings.Fields(strings.ReplaceAll(line, "DIR", folder))...)
	status = Main(arguments, strings.NewReader(stdin), &o, &e)
	if folder != "" {
		return status, o.String(), strings.ReplaceAll(e.String(), folder, "DIR")
	}
	return status, o.String(), e.String()
}

// serviceLine is the manifest of a service as one line.
func serviceLine(name, namespace, address string) string {
	return "{apiVersion: v1, kind: Service, metadata: {name: " + name + ", namespace: " + namespace + "}, spec: {clusterIP: " +
		address + ", ports: [{port: 80}]}}\n"
}

// writeFiles writes files into a new folder.
func writeFiles(t *testing.T, files map[string]string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// TestRecordsSources: manifests are folders, files, several of them, and standard input; and a mistake is told with the
// path that was given.
func TestRecordsSources(t *testing.T) {
	const web, api = "web.shop.svc.cluster.local. 5 IN A 10.96.0.7\n", "api.shop.svc.cluster.local. 5 IN A 10.96.0.8\n"
	webManifest, apiManifest := serviceLine("web", "shop", "10.96.0.7"), serviceLine("api", "shop", "10.96.0.8")
	folder := writeFiles(t, map[string]string{"one/web.yaml": webManifest, "api.yaml": apiManifest, "noend": webManifest,
		"bad.yaml": "kind: [\n", "more/bad.yaml": "kind: [\n"})
	for _, c := range []struct {
		line, stdin string
		want        []string
	}{
		{"-f DIR/one", "", []string{web}},
		{"-f DIR/api.yaml", "", []string{api}},
		{"-f DIR/noend", "", []string{web}},
		{"-f -", webManifest, []string{web}},
		{"-f DIR/one -f DIR/api.yaml", "", []string{web, api}},
		{"-f DIR/one DIR/api.yaml", "", []string{web, api}},
		{"-f - DIR/api.yaml -ttl 5", webManifest, []string{web, api}},
	} {
		status, out, said := runRecords(t, folder, c.stdin, c.line)
		for _, want := range c.want {
			if status != 0 || !strings.Contains(out, "\n"+want) {
				t.Errorf("%s: status %d, no %s\n%s", c.line, status, want, said)
			}
		}
	}
	for line, want := range map[string]string{
		"-f DIR/bad.yaml":           "DIR/bad.yaml:1: ",
		"-f DIR/api.yaml DIR/more":  "DIR/more/bad.yaml:1: ",
		"-f DIR/gone":               "-f: DIR/gone cannot be read: no such file or directory\n",
		"":                          "clusterdns records: -f PATH says where the manifests are",
		"-f DIR/one -kubeconfig x":  "-kubeconfig and -f: give one of them\n",
		"-f DIR/one -o yaml":        "-o: got \"yaml\", wants json\n",
		"-f DIR/one -name wbe.shop": "-name: nothing is called \"wbe.shop\" (did you mean \"web.shop\"?)\n",
	} {
		if status, _, said := runRecords(t, folder, "", line); status != 1 || !strings.Contains(said, want) {
			t.Errorf("%s: status %d, said %q", line, status, said)
		}
	}
}

// TestRecordsOneMistake: what is no mistake is said, and changes no status; one mistake is not "1 mistakes".
func TestRecordsOneMistake(t *testing.T) {
	const selects = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {a: b}, ports: [{port: 80}]}}\n"
	status, _, said := runRecords(t, "", selects, "-f -")
	if want := "[INFO] stdin.yaml:1: Service default/web: its selector matches no pod of these manifests\n"; status != 0 || said != want {
		t.Errorf("status %d, said %q", status, said)
	}
	status, _, said = runRecords(t, "", strings.Replace(selects, "Service", "service", 1), "-f -")
	if status != 1 || !strings.Contains(said, `(did you mean "Service"?)`) ||
		!strings.HasSuffix(said, "clusterdns records: a mistake in the manifests; see above\n") {
		t.Errorf("status %d, said %q", status, said)
	}
}

// TestRecordsName: of one service, namespace or name, with what points at it.
func TestRecordsName(t *testing.T) {
	manifests := serviceLine("web", "shop", "10.96.0.7") + "---\n" + serviceLine("web", "lab", "10.96.0.8") + "---\n" +
		serviceLine("shop", "lab", "10.96.0.9")
	for name, want := range map[string][]string{
		"web.shop": {"10.96.0.7"}, "shop": {"10.96.0.7"}, "lab": {"10.96.0.8", "10.96.0.9"},
		"web.shop.svc.cluster.local.": {"10.96.0.7"}, "WEB.lab.svc": {"10.96.0.8"},
	} {
		_, out, _ := runRecords(t, "", manifests, "-f - -name "+name)
		var addresses, pointers []string
		for line := range strings.Lines(out) {
			switch words := strings.Fields(line); {
			case words[0] == ";":
			case words[3] == "A":
				addresses = append(addresses, words[4])
			case words[3] == "PTR":
				pointers = append(pointers, words[0])
			}
		}
		if slices.Sort(addresses); !slices.Equal(addresses, want) || len(pointers) != len(want) || strings.Contains(out, "SOA") {
			t.Errorf("%s: got\n%s", name, out)
		}
	}
}

// TestRecordsJSON: the same as an object.
func TestRecordsJSON(t *testing.T) {
	_, out, _ := runRecords(t, "", serviceLine("web", "shop", "10.96.0.7"), "-f - -o json -name web.shop -ttl 30")
	const want = `{
  "records": [
    {
      "name": "web.shop.svc.cluster.local.",
      "ttl": 30,
      "type": "A",
      "data": "10.96.0.7"
    },
    {
      "name": "web.shop.svc.cluster.local.",
      "ttl": 30,
      "type": "SRV",
      "data": "0 100 80 web.shop.svc.cluster.local."
    },
    {
      "name": "7.0.96.10.in-addr.arpa.",
      "ttl": 30,
      "type": "PTR",
      "data": "web.shop.svc.cluster.local."
    }
  ],
  "notes": []
}
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Error(diff)
	}
}

// TestRecordsDiff: as diff, with its statuses.
func TestRecordsDiff(t *testing.T) {
	web := serviceLine("web", "shop", "10.96.0.7")
	folder := writeFiles(t, map[string]string{"a/web.yaml": web, "bad.yaml": "kind: [\n",
		"b.yaml": serviceLine("web", "shop", "10.96.0.8") + "---\n" + serviceLine("api", "lab", "10.96.0.9")})
	const changed = "- 7.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local.\n" +
		"+ 8.0.96.10.in-addr.arpa. 5 IN PTR web.shop.svc.cluster.local.\n" +
		"- web.shop.svc.cluster.local. 5 IN A 10.96.0.7\n" +
		"+ web.shop.svc.cluster.local. 5 IN A 10.96.0.8\n"
	for _, c := range []struct {
		line        string
		status      int
		out, errors string
	}{
		{"diff DIR/a DIR/a", 0, "", ""},
		{"diff DIR/a -", 0, "", ""},
		{"diff DIR/a DIR/b.yaml -name shop", 1, changed, ""},
		{"diff -name web.shop DIR/b.yaml -", 1, "- 8.0.96.10", ""},
		{"diff DIR/a DIR/b.yaml", 1, "+ api.lab.svc.cluster.local. 5 IN A 10.96.0.9\n", ""},
		{"diff DIR/a DIR/bad.yaml", 2, "", "a mistake in the manifests"},
		{"diff DIR/a DIR/gone", 2, "", "cannot be read"},
		{"diff DIR/a", 2, "", "wants two of"},
		{"diff - -", 2, "", "only once"},
	} {
		status, out, said := runRecords(t, folder, web, c.line)
		if status != c.status || !strings.Contains(out, c.out) || c.out == "" && out != "" || !strings.Contains(said, c.errors) {
			t.Errorf("%s: status %d, printed\n%s%s", c.line, status, out, said)
		}
	}
}
