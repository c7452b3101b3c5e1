package resolver

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// silent is a resolver whose upstream does not answer, with a block for a.test and one for b.test.
func silent(t *testing.T, a, b Block) *Resolver {
	up := serve(t, mute)
	for _, block := range []*Block{&a, &b} {
		block.Forwards = []Forward{{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: 2 * time.Second}}
	}
	a.Zones, b.Zones = []string{"a.test."}, []string{"b.test."}
	return running(t, nil, a, b)
}

func responded(t *testing.T, r *Resolver, request *Request) string {
	t.Helper()
	reply, _ := r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 1232))
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	return said(m)
}

// TestCancel: a query waits for no longer than its block says, and one that has waited for so long before is not asked
// for at all.
func TestCancel(t *testing.T) {
	r := silent(t, Block{Cancel: 20 * time.Millisecond, Cache: &Cache{}}, Block{Cancel: time.Hour})
	const want = "SERVFAIL 22 (No Reachable Authority): (" + edeCancelled + ")"
	expect(t, responded(t, r, asking(t, "www.a.test. A", time.Now())), want)
	expect(t, responded(t, r, asking(t, "old.b.test. A", time.Now().Add(-2*time.Hour))), want)
	counts := Counts([]*Resolver{r})[0]
	if a, b := *counts[0].Cancelled, *counts[1].Cancelled; a != 1 || b != 1 {
		t.Errorf("counted %d and %d", a, b)
	}
}

// TestCancelWithStaleAnswer: where an old answer is left, it is given in place of the failure.
func TestCancelWithStaleAnswer(t *testing.T) {
	var asked atomic.Int32
	up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		if asked.Add(1) > 1 {
			return nil
		}
		return answering("192.0.2.1")(q, reply, tcp)
	})
	r := running(t, nil, Block{Zones: []string{"."}, Cancel: time.Minute,
		Cache:    &Cache{ServeStale: time.Hour, StaleVerify: true},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: 4 * time.Second}}})
	expect(t, responded(t, r, asking(t, "www.example.org. A", time.Now())), "NOERROR 192.0.2.1")
	later := 70 * time.Second // the query is of then, so the clock of its wait is that much ahead
	r.blocks[0].cancel.after = 20*time.Millisecond - later
	expect(t, responded(t, r, asking(t, "www.example.org. A", time.Now().Add(later))),
		"NOERROR 192.0.2.1 3 (Stale Answer): ("+edeStale+")")
}
