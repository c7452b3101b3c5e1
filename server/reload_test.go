package server

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// TestReloadKeepsWhatItDoesNotChange: a reload that puts another block, for another address, before the one that
// caches and forwards neither empties the cache nor sets the counters of forward and acl to zero.
func TestReloadKeepsWhatItDoesNotChange(t *testing.T) {
	upstream := newOutside(t)
	corefile := fmt.Sprintf(".:0 {\n bind 127.0.0.1\n prometheus %s\n cache 3600 Outside.test example.org\n forward . %s\n"+
		" acl {\n  block type MX\n }\n dns64 {\n  allow_ipv4\n }\n}\n", adminAddress, upstream.address)
	r := launch(t, corefile)
	here := func() netip.AddrPort { return r.listeners[anyPort].Address() }
	exchange(t, "udp", here(), "outside.test.", dns.TypeA)
	exchange(t, "udp", here(), "outside.test.", dns.TypeMX)
	server := fmt.Sprintf("dns://%s", here())
	want := map[string]string{
		fmt.Sprintf(`coredns_forward_requests_total{to="%s"}`, upstream.address):                                   "1",
		`coredns_cache_entries{server="` + server + `",type="success",view="",zones="outside.test.,example.org."}`: "1",
		`coredns_acl_blocked_requests_total{server="` + server + `",view="",zone="."}`:                             "1",
		`coredns_acl_allowed_requests_total{server="` + server + `",view=""}`:                                      "1",
		`coredns_dns64_requests_translated_total{server="` + server + `"}`:                                         "0",
		`coredns_plugin_enabled{name="dns64",server="` + server + `",view="",zone="."}`:                            "1",
		`coredns_dns_responses_total{plugin="acl",rcode="REFUSED",server="` + server + `",view="",zone="."}`:       "1",
	}
	check := func(when string) {
		t.Helper()
		for series, value := range want {
			if got := r.metric(t, series); got != value {
				t.Errorf("%s: %s is %q, want %s", when, series, got, value)
			}
		}
	}
	check("before")
	r.reload(t, "other.test:0 {\n bind 127.0.0.2\n}\n"+corefile, reloaded)
	check("after the reload")
	exchange(t, "udp", here(), "outside.test.", dns.TypeA)
	if n := upstream.asked.Load(); n != 1 {
		t.Errorf("the cache was lost: the upstream was asked %d times", n)
	}
}
