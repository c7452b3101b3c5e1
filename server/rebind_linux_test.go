package server

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// TestRebind goes between one address and all of a port, and both, while questions are asked at that address. Another instance is refused
// all the time.
func TestRebind(t *testing.T) {
	block := func(zone string, port uint16, bind string) string {
		return fmt.Sprintf("%s:%d {\n %s\n hosts {\n  192.0.2.8 new.test\n }\n}\n", zone, port, bind)
	}
	r := launch(t, block(".", 0, "bind 127.0.0.1"))
	one := r.Addresses()[0]
	all := netip.AddrPortFrom(netip.IPv6Unspecified(), one.Port())
	end := r.interview(t, one, "new.test.")
	for i, step := range []struct {
		bind    string
		answers netip.AddrPort
	}{{"", all}, {"bind 127.0.0.1", one}, {"bind 0.0.0.0", netip.AddrPortFrom(netip.IPv4Unspecified(), one.Port())}, {"", all}, {"bind 127.0.0.1", one}} {
		old := r.opened[len(r.opened)-1]
		r.reload(t, block(".", one.Port(), step.bind), reloaded)
		<-old.done
		if got := r.Addresses(); len(got) != 1 || got[0] != step.answers {
			t.Errorf("step %d: listens on %v", i, got)
		}
		if got := firstRecord(exchange(t, "tcp", one, "new.test.", dns.TypeA)); got != "3600 A 192.0.2.8" {
			t.Errorf("step %d: %s over TCP", i, got)
		}
		for _, address := range []netip.AddrPort{one, all} {
			if other, err := Listen(Options{Address: address, Answerer: newScripted()}); err == nil {
				other.Close()
				t.Errorf("step %d: another instance has %s", i, address)
			}
		}
	}
	r.reload(t, block(".", one.Port(), "health 192.0.2.1:1"), refused)
	if got := r.Addresses(); len(got) != 1 || got[0] != one {
		t.Errorf("after a reload that failed: listens on %v", got)
	}
	r.reload(t, block(".", one.Port(), "bind 127.0.0.1")+block("other", one.Port(), ""), reloaded)
	if got := r.Addresses(); len(got) != 2 {
		t.Errorf("listens on %v", got)
	}
	if asked := end(); asked < 20 {
		t.Errorf("%d questions are no stream", asked)
	}
}
