package server

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/scrape"
)

// TestShadow: answers from memory and from upstream are compared with those of a second server.
func TestShadow(t *testing.T) {
	upstream, second := newOutside(t), newOutside(t)
	r := launch(t, fmt.Sprintf(".:0 {\n bind 127.0.0.1\n hosts {\n  192.0.2.7 here.test\n  fallthrough\n }\n forward . %s\n"+
		" shadow %s {\n  sample 100%%\n  timeout 10s\n }\n}\n", upstream.address, second.address))
	address := r.listeners[anyPort].Address()
	exchange(t, "udp", address, "here.test.", dns.TypeA)
	exchange(t, "udp", address, "outside.test.", dns.TypeA)
	exchange(t, "udp", address, "outside.test.", dns.TypeA)
	exchange(t, "udp", address, "outside.test.", dns.TypeANY)
	scrape.AwaitLines(t, r.metrics, `
clusterdns_shadow_answers_total{kind="",result="same"} 4
clusterdns_shadow_answers_total{kind="",result="dropped"} 0
clusterdns_shadow_duration_seconds_count{server="clusterdns"} 4
clusterdns_shadow_duration_seconds_count{server="second"} 4
clusterdns_shadow_away 0
`)
	if second.asked.Load() != 4 {
		t.Errorf("the second server was asked %d times", second.asked.Load())
	}
	if s := r.state().Shadow; s == nil || len(s.Differences) > 0 {
		t.Errorf("%+v", s)
	}
}
