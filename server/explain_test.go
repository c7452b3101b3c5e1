package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/explain"
	"github.com/clusterdns/clusterdns/watch"
)

// TestExplain: names of the sample cluster, from a folder, a file and standard input, with what stands below the table.
func TestExplain(t *testing.T) {
	t.Chdir("..")
	manifest, err := os.ReadFile("testdata/cluster/not-ready.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "written")
	if err := os.WriteFile(file, manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	const notReady = "Service datarc/nothing-ready is headless, and none of its endpoints is ready.\nSee why the pods are not ready: "
	for _, test := range []struct {
		words  string
		status int
		says   string
	}{
		{"nothing-ready.datarc -f testdata/cluster", 1, notReady},
		{"nothing-ready -from datarc -f -", 1, notReady},
		{"-from datarc/web-0 -f " + file + " nothing-ready", 1, notReady},
		{"datarc-test.datarc -f testdata/cluster", 0, "datarc-test.datarc resolves, as datarc-test.datarc.svc.cluster.local.\n"},
		{"datarc-tset.datarc -f testdata/cluster", 1, "There is no service datarc-tset in namespace datarc.\nDid you mean datarc-test.datarc?\n"},
		{"datarc-test -f testdata/cluster", 1, "There is no service datarc-test in namespace default.\n" +
			"datarc-test exists in namespace datarc: write datarc-test.datarc\n"},
		{"datarc-test.datrac -f testdata/cluster", 1, "There is no namespace datrac.\n" +
			"datarc-test exists in namespace datarc: write datarc-test.datarc\n"},
		{"_htp._tcp.datarc-test.datarc -type SRV -f testdata/cluster", 1,
			"Service datarc/datarc-test exists, and has no port or endpoint _htp._tcp.\nDid you mean _http._tcp.datarc-test.datarc?\n"},
		{"www.example.org -f testdata/cluster", 1, "The name is not of the cluster, and was not asked for further.\n"},
		{"10.96.0.10 -f testdata/cluster", 0, "10.96.0.10 resolves, as 10.0.96.10.in-addr.arpa.\n"},
		{"datarc.datarc-test -f testdata/cluster", 1, "The service stands before its namespace: did you mean datarc-test.datarc?\n"},
		{"datarc-test.datarc.svc.cluster.lcoal -f testdata/cluster", 1,
			"The domain of the cluster is cluster.local: did you mean datarc-test.datarc.svc.cluster.local?\n"},
		{"-f testdata/cluster a.b.c.d.e.f -libc musl", 1, "musl takes no domain of the search list for a name with 5 dots or more (ndots).\n"},
		{"web more -f testdata/cluster", 1, "unexpected argument \"more\""},
		{"web -f testdata/cluster -server 127.0.0.1", 1, "-server, -kubeconfig and -f: give one of them\n"},
		{"web -nothing", 1, "flag provided but not defined: -nothing; clusterdns explain -h lists the flags\n"},
		{"web -kubeconfig nowhere there", 1, "nowhere"},
		{"", 1, "clusterdns explain: which name?"},
		{"web -libc uclibc", 1, "-libc: got \"uclibc\", wants glibc, musl or go\n"},
		{"web -server localhost", 1, "-server: got \"localhost\", wants an IP address, with a port if it is not 53\n"},
		{"web -f nowhere", 1, "-f: nowhere cannot be read: no such file or directory\n"},
		{"web -server 127.0.0.1:1", 1, "The server cannot be asked: nothing listens at 127.0.0.1:1."},
	} {
		var out bytes.Buffer
		arguments := append([]string{"clusterdns", "explain"}, strings.Fields(test.words)...)
		status := Main(arguments, bytes.NewReader(manifest), &out, &out)
		if status != test.status || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: status %d\n%s", test.words, status, &out)
		}
	}
}

// TestExplainPod: dnsPolicy, dnsConfig and hostNetwork of a pod make its search list, as the kubelet writes it.
func TestExplainPod(t *testing.T) {
	const cluster = "dev.svc.cluster.local svc.cluster.local cluster.local"
	for _, test := range []struct {
		pod    watch.PodDNS
		search string
		ndots  int
		note   string
	}{
		{watch.PodDNS{Policy: "ClusterFirst"}, cluster, 5, ""},
		{watch.PodDNS{Policy: "ClusterFirst", Searches: []string{"corp.example", "svc.cluster.local"}, Ndots: "2"}, cluster + " corp.example", 2, ""},
		{watch.PodDNS{Policy: "ClusterFirst", HostNetwork: true}, "", 1, "ClusterFirstWithHostNet"},
		{watch.PodDNS{Policy: "ClusterFirstWithHostNet", HostNetwork: true}, cluster, 5, ""},
		{watch.PodDNS{Policy: "Default"}, "", 1, "ClusterFirst asks the cluster's"},
		{watch.PodDNS{Policy: "None", Searches: []string{"a.example"}, Ndots: "1"}, "a.example", 1, "dnsConfig is all there is"},
	} {
		q := explain.Question{Stub: explain.Pod(explain.Glibc, "dev", "cluster.local")}
		asPod(&q, &test.pod)
		if got := strings.Join(q.Stub.Search, " "); got != test.search || q.Stub.Ndots != test.ndots ||
			!strings.Contains(q.Note, test.note) || (q.Note == "") != (test.note == "") {
			t.Errorf("%+v: search %q, ndots %d, note %q", test.pod, got, q.Stub.Ndots, q.Note)
		}
	}
}

// TestExplainJSON: the report of -o json can be read back.
func TestExplainJSON(t *testing.T) {
	var out, mistakes bytes.Buffer
	arguments := strings.Fields("clusterdns explain nothing-ready.datarc -from default -o json -f ../testdata/cluster")
	if status := Main(arguments, nil, &out, &mistakes); status != 1 {
		t.Errorf("status %d: %s", status, &mistakes)
	}
	var report explain.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	decisive := report.Steps[report.Decisive]
	if decisive.Name != "nothing-ready.datarc.svc.cluster.local" || decisive.Reason != "service datarc/nothing-ready: 0 of 2 endpoints ready" {
		t.Errorf("got %+v", decisive)
	}
}

// TestExplainPodsUnread: without pods, as of a live cluster, a pod's name is any address in a namespace.
func TestExplainPodsUnread(t *testing.T) {
	index, _, err := readCluster(t.Context(), watch.Options{Manifests: "../testdata/cluster"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for verify, want := range map[bool]string{false: "NOERROR", true: "NXDOMAIN"} {
		r, err := clusterResolver(index, "cluster.local.", verify)
		if err != nil {
			t.Fatal(err)
		}
		if a := explain.InProcess(r)(t.Context(), "10-9-8-7.datarc.pod.cluster.local.", dns.TypeA); a.Rcode != want {
			t.Errorf("verify %v: %+v", verify, a)
		}
	}
}
