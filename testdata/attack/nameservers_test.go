package attack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestClusterBesideNameServersOfATenant: slices of a tenant that carry the server's own address do not make questions
// about the zone's name servers dear to all others.
func TestClusterBesideNameServersOfATenant(t *testing.T) {
	const service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: %s}\n" +
		"spec: {clusterIP: %s, ports: [{name: dns, port: 53}]}\n"
	slices, rate := size(500, 3000), size(500, 3000)
	var manifest strings.Builder
	fmt.Fprintf(&manifest, service, "web", "prod", "10.96.0.99")
	for i := range slices {
		name := fmt.Sprint("s", i)
		fmt.Fprintf(&manifest, service, name, "evil", "None")
		fmt.Fprintf(&manifest, "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"+
			"metadata: {name: %s, namespace: evil, labels: {kubernetes.io/service-name: %s}}\naddressType: IPv4\n"+
			"ports: [{name: dns, port: 53}]\nendpoints: [{addresses: [127.0.0.1]}]\n", name, name)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cluster.yaml"), []byte(manifest.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	attack{
		name:      fmt.Sprintf("%d slices with the server's address, %d questions for NS a second", slices, rate),
		tolerated: 10,
		corefile:  ".:$DNS {\n bind 127.0.0.1\n kubernetes cluster.local {\n  manifests " + dir + "\n }\n}\n",
		foreign:   "-", // it reads no manifests
		run: func(t *testing.T, s *server) *honest {
			web := func(ctx context.Context) error {
				return ask(ctx, "udp", s.dns, "web.prod.svc.cluster.local.", dns.TypeA)
			}
			await(t, func() error { return web(t.Context()) })
			if err := oneNameServer(t.Context(), s.dns); err != nil {
				t.Error(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			wait := flood(ctx, t, s.dns, rate, dns.TypeNS, func(int) string { return "cluster.local." })
			defer wait()
			defer cancel()
			return s.honest(ctx, size(100, 1000), 10*time.Millisecond, func(ctx context.Context, _ int) error { return web(ctx) })
		},
	}.try(t)
}

// oneNameServer wants the zone to have one name server.
func oneNameServer(ctx context.Context, address string) error {
	m := new(dns.Msg).SetQuestion("cluster.local.", dns.TypeNS)
	reply, _, err := (&dns.Client{Net: "tcp", Timeout: 2 * time.Second}).ExchangeContext(ctx, m, address)
	if err == nil && len(reply.Answer) != 1 {
		err = fmt.Errorf("%w: %d name servers", errWrong, len(reply.Answer))
	}
	return err
}
