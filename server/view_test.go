package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/scrape"
)

// TestViewLabels: the metrics of a block have the name of its view, and server_port() is the port that was asked. What
// the blocks have in common but the view is counted apart.
func TestViewLabels(t *testing.T) {
	upstream := newOutside(t)
	block := fmt.Sprintf(" bind 127.0.0.1\n prometheus %s\n cache\n acl {\n  allow\n }\n forward . %s\n}\n", adminAddress,
		upstream.address)
	r := launch(t, ".:0 {\n view failing {\n  expr incidr('', '10.0.0.0/8')\n }\n"+block+
		".:0 {\n view stream {\n  expr proto() == 'tcp' && int(server_port()) > 0 && int(port()) > 0\n }\n"+block+".:0 {\n"+block)
	address := r.listeners[anyPort].Address()
	exchange(t, "udp", address, "outside.test.", dns.TypeA)
	exchange(t, "tcp", address, "outside.test.", dns.TypeA)
	exchange(t, "tcp", address, "outside.test.", dns.TypeA)
	server := fmt.Sprintf("dns://%s", address)
	scrape.AwaitLines(t, r.metrics, strings.ReplaceAll(`
coredns_dns_requests_total{family="1",proto="tcp",server="SERVER",type="A",view="stream",zone="."} 2
coredns_dns_requests_total{family="1",proto="udp",server="SERVER",type="A",view="",zone="."} 1
coredns_cache_requests_total{server="SERVER",view="stream",zones="."} 2
coredns_cache_requests_total{server="SERVER",view="",zones="."} 1
coredns_cache_requests_total{server="SERVER",view="failing",zones="."} 0
coredns_acl_allowed_requests_total{server="SERVER",view="stream"} 2
coredns_plugin_enabled{name="view",server="SERVER",view="stream",zone="."} 1
clusterdns_view_failures_total{server="SERVER",view="failing"} 3
clusterdns_view_failures_total{server="SERVER",view="stream"} 0
`, "SERVER", server))
}
