package resolver

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestOfSearchList tells names that only a search list makes from those that somebody may have meant.
func TestOfSearchList(t *testing.T) {
	r := sample(t)
	for name, want := range map[string]bool{
		"web.prod.svc.cluster.local.":                 false, // it exists
		"nope.prod.svc.cluster.local.":                false, // a service that is missing
		"pod-7.web.prod.svc.cluster.local.":           false, // an endpoint that is missing
		"_http._tcp.nope.prod.svc.cluster.local.":     false, // a port of it
		"web.prod.prod.svc.cluster.local.":            true,  // web.prod, before prod.svc
		"www.example.com.prod.svc.cluster.local.":     true,
		"www.example.com.svc.cluster.local.":          true, // before svc
		"www.example.com.cluster.local.":              true, // before the domain
		"mysql.svc.cluster.local.":                    true,
		"mysql.cluster.local.":                        true,
		"_ldap._tcp.dc._msdcs.example.cluster.local.": false,
		"2.0.96.10.in-addr.arpa.":                     false,
		"www.example.com.":                            false, // not of the cluster
	} {
		packet := must(new(dns.Msg).SetQuestion(name, dns.TypeA).Pack())
		request := &Request{Now: time.Now()}
		if _, result := r.Answer(request, packet, make([]byte, 0, wire.MaxMessage)); result != Send {
			t.Fatalf("%s: %v", name, result)
		}
		if got := request.OfSearchList(); got != want {
			_, why := request.Reply.Explanation()
			t.Errorf("%s: %v (%s)", name, got, why)
		}
	}
}
