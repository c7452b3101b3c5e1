package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
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
	r := launch(t, ".:0 {\n bind 127.0.0.1\n kubernetes cluster.local {\n  manifests town\n }\n}\n")
	if err := r.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := r.Addresses()[0].String()
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
		{"web -from dev -server SERVER", 1, "A server does not tell what is like it. -kubeconfig FILE in the place of -server does"},
		{"www.example.org -f testdata/cluster", 1, "The name is not of the cluster, and was not asked for further.\n"},
		{"datarc-test.datarc. -f testdata/cluster", 1, "The final dot leaves the search list out: datarc-test.datarc without it, or " +
			"datarc-test.datarc.svc.cluster.local. with it.\n"},
		{"datarc-test.datarc.svc. -f testdata/cluster", 1, "or datarc-test.datarc.svc.cluster.local. with it.\n"},
		{"zzzzzz.datarc -f testdata/cluster", 1, "There is no service zzzzzz in namespace datarc.\nServices of namespace datarc: datarc-db, datarc-test, "},
		{"zzzzzz.yyyyyy -f testdata/cluster", 1, "There is no namespace yyyyyy.\nNamespaces with services: datarc, default"},
		{"example.com. -f testdata/cluster", 1, "was not asked for further.\n-server ADDRESS asks a server that forwards it.\n"},
		{"_http._tcp.datarc-test.datarc. -type SRV -f testdata/cluster", 1, "or _http._tcp.datarc-test.datarc.svc.cluster.local. with it.\n"},
		{"datarc-test.datarc.cluster.local -f testdata/cluster", 1, "The label svc is missing: did you mean datarc-test.datarc.svc.cluster.local?\n"},
		{"http://datarc-test.datarc:8080/ -f testdata/cluster", 1, "\"http://datarc-test.datarc:8080/\" is a URL; its name is \"datarc-test.datarc\"\n"},
		{"datarc-test.datarc:8080 -f testdata/cluster", 1, "\"datarc-test.datarc:8080\" is a name with a port; write \"datarc-test.datarc\"\n"},
		{"localhost -f testdata/cluster", 1, "Stub resolvers find localhost in /etc/hosts, and ask nobody for it.\n"},
		{"bücher.datarc -f testdata/cluster", 1, "Names of services are ASCII. Of another name programs ask for the form xn--… (IDNA), which is not made here.\n"},
		{". -f testdata/cluster", 1, "> .  A, AAAA  not asked  outside of the cluster\n"},
		{"10.96.0.10 -f testdata/cluster", 0, "10.96.0.10 resolves, as 10.0.96.10.in-addr.arpa.\n"},
		{"datarc.datarc-test -f testdata/cluster", 1, "The service stands before its namespace: did you mean datarc-test.datarc?\n"},
		{"datarc-test.datarc.svc.cluster.lcoal -f testdata/cluster", 1,
			"The domain of the cluster is cluster.local: did you mean datarc-test.datarc.svc.cluster.local?\n"},
		{"-f testdata/cluster a.b.c.d.e.f -libc musl", 1, "musl takes no domain of the search list for a name with 5 dots or more (ndots).\n"},
		{"-from datarc/web-0 -f testdata/cluster nothing-ready", 1, "Pod datarc/web-0 is not read without -kubeconfig: its dnsPolicy"},
		{"-from datarc/web-0 -server 127.0.0.1:1 web", 1, "Pod datarc/web-0 is not read without -kubeconfig: its dnsPolicy"},
		{"-from datarc/ -f testdata/cluster web", 1, "-from: \"datarc/\" is not NAMESPACE or NAMESPACE/POD\n"},
		{"example.datarc -f testdata/cluster", 0, "> example.datarc.svc.cluster.local          A        alias     -> www.example.com. outside of the cluster\n" +
			"  example.datarc.svc.cluster.local          AAAA     alias     -> www.example.com. outside of the cluster\n\n" +
			"example.datarc.svc.cluster.local is an alias of www.example.com, which is outside of the cluster and is not asked for here.\n" +
			"-server ADDRESS asks a server that follows it.\n"},
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
		words := strings.ReplaceAll(test.words, "SERVER", server)
		arguments := append([]string{"clusterdns", "explain"}, strings.Fields(words)...)
		status := Main(arguments, bytes.NewReader(manifest), &out, &out)
		if status != test.status || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: status %d\n%s", test.words, status, &out)
		}
	}
}

// TestExplainUnready: a cluster IP without anything behind it resolves, and explain says that connections fail.
func TestExplainUnready(t *testing.T) {
	const manifests = `
{apiVersion: v1, kind: Namespace, metadata: {name: prod}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: prod, name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: prod, name: web}, spec: {replicas: 2, selector: {matchLabels: {app: web}},
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}}, status: {replicas: 2, readyReplicas: 0}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: prod, name: empty}, spec: {selector: {app: wbe}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: prod, name: alone}, spec: {ports: [{port: 80, name: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: prod, name: led}, spec: {type: ExternalName, externalName: web.prod.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: prod, name: misled}, spec: {type: ExternalName, externalName: wbe.prod.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: prod, name: good}, spec: {selector: {app: good}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {namespace: prod, name: good, labels: {app: good}}, spec: {containers: [{name: web, image: web}]}}
`
	for _, test := range []struct {
		words  string
		status int
		says   string
	}{
		{"web.prod", 0, "web.prod resolves, as web.prod.svc.cluster.local. But service prod/web has 0 of 2 endpoints ready: connections will fail.\n" +
			"See why the pods are not ready: kubectl -n prod describe endpointslices -l kubernetes.io/service-name=web; kubectl -n prod describe pods\n"},
		{"empty.prod", 0, "But service prod/empty has no endpoints: connections will fail.\nCompare its selector with the labels of the pods: " +
			"kubectl -n prod describe service empty; kubectl -n prod get pods --show-labels. Without a selector somebody has to write its " +
			"slices: kubectl -n prod get endpointslices -l kubernetes.io/service-name=empty\n"},
		{"alone.prod", 0, "But service prod/alone has no endpoints: connections will fail.\n"},
		{"_http._tcp.alone.prod -type SRV", 0, "But service prod/alone has no endpoints: connections will fail.\n"},
		{"led.prod", 0, "led.prod resolves, as led.prod.svc.cluster.local. But service prod/web has 0 of 2 endpoints ready: connections will fail.\n"},
		{"misled.prod", 1, "misled.prod.svc.cluster.local is an alias of wbe.prod.svc.cluster.local. There is no service wbe in namespace prod.\n" +
			"Correct externalName of service prod/misled: did you mean web.prod.svc.cluster.local?\n"},
		{"good.prod", 0, "good.prod resolves, as good.prod.svc.cluster.local.\n"},
		{"kubernetes.default", 0, "kubernetes.default resolves, as kubernetes.default.svc.cluster.local.\n"},
		{"_web._tcp.web.prod -type SRV", 1, "Service prod/web exists, and has no port or endpoint _web._tcp.\n"},
		{"_http._tcp.web.prod -type SRV", 1, "Service prod/web exists, and has no port or endpoint _http._tcp.\n"},
	} {
		var out bytes.Buffer
		arguments := append([]string{"clusterdns", "explain", "-f", "-"}, strings.Fields(test.words)...)
		status := Main(arguments, strings.NewReader(manifests), &out, &out)
		if status != test.status || !strings.HasSuffix(out.String(), test.says) && !strings.Contains(out.String(), "\n"+test.says) && !strings.Contains(out.String(), ". "+test.says) {
			t.Errorf("%s: status %d\n%s", test.words, status, &out)
		}
	}
}

// TestExplainPage: the page of a server explains, and knows what is like a name.
func TestExplainPage(t *testing.T) {
	r := launch(t, ".:0 {\n bind 127.0.0.1\n kubernetes cluster.local {\n  manifests town\n }\n}\n")
	if err := r.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	page := httptest.NewServer(r.page())
	defer page.Close()
	for words, want := range map[string]struct {
		status int
		says   string
	}{
		"web -from prod":                 {0, "> web.prod.svc.cluster.local  A     NOERROR  10.96.0.8\n  web.prod.svc.cluster.local  AAAA  NODATA "},
		"wbe.prod -from dev/x":           {1, "There is no service wbe in namespace prod.\nDid you mean web.prod?\n"},
		"web -from prod -search a.b":     {1, "-search and -ndots: the page of a server takes"},
		"web -libc musl -type AAAA":      {1, "as musl asks for it"},
		"web -server http://127.0.0.1:1": {1, "nothing listens at http://127.0.0.1:1"},
	} {
		var out bytes.Buffer
		arguments := append([]string{"clusterdns", "explain", "-server", page.URL}, strings.Fields(words)...)
		if status := Main(arguments, nil, &out, &out); status != want.status || !strings.Contains(out.String(), want.says) {
			t.Errorf("%s: status %d\n%s", words, status, &out)
		}
	}
}

// TestExplainClient: what is the answer of one client, and what the search list has captured, is said.
func TestExplainClient(t *testing.T) {
	const services = `
{apiVersion: v1, kind: Service, metadata: {namespace: com, name: example}, spec: {clusterIP: 10.96.0.9, ports: [{port: 443}]}}
---
{apiVersion: v1, kind: Service, metadata: {namespace: com, name: another}, spec: {clusterIP: 10.96.0.8, ports: [{port: 443}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: com, name: another-1,
  labels: {kubernetes.io/service-name: another}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.4]}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: com, name: example-1,
  labels: {kubernetes.io/service-name: example}}, addressType: IPv4, endpoints: [{addresses: [10.244.0.3]}]}
---
{apiVersion: v1, kind: Service, metadata: {namespace: billing, name: org}, spec: {clusterIP: None, sessionAffinity: ClientIP}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {namespace: billing, name: org-1,
  labels: {kubernetes.io/service-name: org, service.kubernetes.io/headless: ""}}, addressType: IPv4, ports: [{name: http, port: 80}],
  endpoints: [{addresses: [10.244.0.1], hostname: example}, {addresses: [10.244.0.2]}]}
`
	const affine = " Which record comes first depends on the client: service billing/org has sessionAffinity: ClientIP (option affinity).\n"
	const captured = " The search list has led there, not to %s. itself: %s is called like a top-level domain (option toplevel).\n"
	file := filepath.Join(t.TempDir(), "services.yaml")
	if err := os.WriteFile(file, []byte(services), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"", "affinity\n  toplevel"} {
		r := launch(t, ".:0 {\n bind 127.0.0.1\n template IN A example.com example.org {\n  answer \"{{ .Name }} 60 IN A 192.0.2.1\"\n }\n"+
			" kubernetes cluster.local {\n  manifests "+filepath.Dir(file)+"\n  "+options+"\n }\n}\n")
		if err := r.Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
		page := httptest.NewServer(r.page())
		for _, test := range []struct{ words, resolves, more string }{
			{"org -from billing", "org resolves, as org.billing.svc.cluster.local.", affine},
			{"_http._tcp.org.billing -type SRV", "_http._tcp.org.billing resolves, as _http._tcp.org.billing.svc.cluster.local.", affine},
			{"example.org.billing", "example.org.billing resolves, as example.org.billing.svc.cluster.local.", "\n"},
			{"example.com", "example.com resolves, as example.com.svc.cluster.local.", fmt.Sprintf(captured, "example.com", "namespace com")},
			{"example.com.svc", "example.com.svc resolves, as example.com.svc.cluster.local.", "\n"},
			{"example.com.svc.cluster.local", "example.com.svc.cluster.local resolves, as example.com.svc.cluster.local.", "\n"},
			{"another.com", "another.com resolves, as another.com.svc.cluster.local.", "\n"}, // there is no such name outside
			{"example -from com", "example resolves, as example.com.svc.cluster.local.", "\n"},
			{"Example.org -from billing", "Example.org resolves, as Example.org.billing.svc.cluster.local.", fmt.Sprintf(captured, "example.org", "service billing/org")},
		} {
			var out bytes.Buffer
			arguments := append([]string{"clusterdns", "explain", "-server", page.URL}, strings.Fields(test.words)...)
			want := test.resolves + test.more
			if options == "" {
				want = test.resolves + "\n"
			}
			if status := Main(arguments, nil, &out, &out); status != 0 || !strings.Contains(out.String(), want) {
				t.Errorf("%q, %s: status %d\n%s", options, test.words, status, &out)
			}
		}
		page.Close()
	}
}

// TestExplainServicesAlone: where services alone are written, nothing is known of endpoints.
func TestExplainServicesAlone(t *testing.T) {
	const service = `{apiVersion: v1, kind: Service, metadata: {namespace: prod, name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}`
	var out bytes.Buffer
	if Main(strings.Fields("clusterdns explain web.prod -f -"), strings.NewReader(service), &out, &out); !strings.HasSuffix(out.String(), "resolves, as web.prod.svc.cluster.local.\n") {
		t.Error(out.String())
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
			!strings.Contains(fmt.Sprint(q.Notes), test.note) || q.Away != (test.note != "") {
			t.Errorf("%+v: search %q, ndots %d, notes %q", test.pod, got, q.Stub.Ndots, q.Notes)
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
		if a := explain.InProcess(r, explain.Loopback)(t.Context(), "10-9-8-7.datarc.pod.cluster.local.", dns.TypeA); a.Rcode != want {
			t.Errorf("verify %v: %+v", verify, a)
		}
	}
}
