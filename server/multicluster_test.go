package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server"
	"github.com/clusterdns/clusterdns/server/config"
)

// clusterset is a service of the cluster beside imports of both types, as the clusterset's controllers write them.
const clusterset = `
apiVersion: v1
kind: Service
metadata: {namespace: prod, name: local-only}
spec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 80}]}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {namespace: prod, name: web}
spec: {type: ClusterSetIP, ips: [10.42.0.1], ports: [{name: http, port: 80, protocol: TCP}]}
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceImport
metadata: {namespace: prod, name: db}
spec: {type: Headless, ports: [{name: sql, port: 3306, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: prod
  name: db-east
  labels: {multicluster.kubernetes.io/service-name: db, multicluster.kubernetes.io/source-cluster: east}
addressType: IPv4
endpoints: [{addresses: [10.1.0.1], hostname: db-0}]
ports: [{name: sql, port: 3306, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: prod
  name: db-west
  labels: {multicluster.kubernetes.io/service-name: db, multicluster.kubernetes.io/source-cluster: west}
addressType: IPv4
endpoints: [{addresses: [10.2.0.1], hostname: db-0}]
ports: [{name: sql, port: 3306, protocol: TCP}]
`

// TestMulticluster asks for names of a clusterset (the Multicluster Service DNS specification) beside those of the
// cluster.
func TestMulticluster(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "clusterset.yaml"), []byte(clusterset), 0o600); err != nil {
		t.Fatal(err)
	}
	corefile := ". {\n kubernetes cluster.local clusterset.local {\n manifests .\n multicluster clusterset.local\n }\n}\n"
	c, err := config.Parse(filepath.Join(folder, "Corefile"), []byte(corefile), config.Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	c.Listeners[0].Addresses = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	p := server.NewProgram(io.Discard, slog.New(slog.DiscardHandler))
	t.Cleanup(p.Close)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Apply(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := p.Synced(ctx); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		qtype uint16
		rcode int
		want  []string
	}{
		{"web.prod.svc.clusterset.local.", dns.TypeA, 0, []string{"web.prod.svc.clusterset.local.\t5\tIN\tA\t10.42.0.1"}},
		{"_http._tcp.web.prod.svc.clusterset.local.", dns.TypeSRV, 0,
			[]string{"_http._tcp.web.prod.svc.clusterset.local.\t5\tIN\tSRV\t0 100 80 web.prod.svc.clusterset.local."}},
		{"db.prod.svc.clusterset.local.", dns.TypeA, 0, []string{"db.prod.svc.clusterset.local.\t5\tIN\tA\t10.1.0.1",
			"db.prod.svc.clusterset.local.\t5\tIN\tA\t10.2.0.1"}},
		{"db-0.east.db.prod.svc.clusterset.local.", dns.TypeA, 0,
			[]string{"db-0.east.db.prod.svc.clusterset.local.\t5\tIN\tA\t10.1.0.1"}},
		{"east.db.prod.svc.clusterset.local.", dns.TypeA, 0, nil},
		{"db-0.north.db.prod.svc.clusterset.local.", dns.TypeA, dns.RcodeNameError, nil},
		{"db.prod.svc.clusterset.local.", dns.TypeSRV, 0, []string{
			"db.prod.svc.clusterset.local.\t5\tIN\tSRV\t0 50 3306 db-0.east.db.prod.svc.clusterset.local.",
			"db.prod.svc.clusterset.local.\t5\tIN\tSRV\t0 50 3306 db-0.west.db.prod.svc.clusterset.local."}},
		{"local-only.prod.svc.clusterset.local.", dns.TypeA, dns.RcodeNameError, nil},
		{"local-only.prod.svc.cluster.local.", dns.TypeA, 0,
			[]string{"local-only.prod.svc.cluster.local.\t5\tIN\tA\t10.96.0.20"}},
		{"web.prod.svc.cluster.local.", dns.TypeA, dns.RcodeNameError, nil},
		{"dns-version.clusterset.local.", dns.TypeTXT, 0,
			[]string{"dns-version.clusterset.local.\t28800\tIN\tTXT\t\"1.0.0\""}},
	} {
		reply, err := dns.Exchange(new(dns.Msg).SetQuestion(test.name, test.qtype), p.Addresses()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rr := range reply.Answer {
			got = append(got, rr.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" || reply.Rcode != test.rcode {
			t.Errorf("%s %s: rcode %d, want %d; answers (-want +got):\n%s", test.name, dns.TypeToString[test.qtype],
				reply.Rcode, test.rcode, diff)
		}
	}
}
