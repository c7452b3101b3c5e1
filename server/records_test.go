package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// TestRecordsFiles: manifests are a folder, a file or standard input, and a mistake is told with the name of the file.
func TestRecordsFiles(t *testing.T) {
	const manifest = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}}\n"
	folder := t.TempDir()
	file := filepath.Join(folder, "web.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{folder, file, "-"} {
		var out, errors bytes.Buffer
		status := Main([]string{"clusterdns", "records", "-f", from}, strings.NewReader(manifest), &out, &errors)
		if status != 0 || !strings.Contains(out.String(), "\nweb.default.svc.cluster.local. 5 IN A 10.96.0.7\n") {
			t.Errorf("%s: status %d\n%s%s", from, status, &out, &errors)
		}
	}
	if err := os.WriteFile(file, []byte("kind: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errors bytes.Buffer
	if status := Main([]string{"clusterdns", "records", "-f", file}, nil, &out, &errors); status != 1 ||
		!strings.Contains(errors.String(), "web.yaml:1") {
		t.Errorf("status %d, said %s", status, &errors)
	}
}
