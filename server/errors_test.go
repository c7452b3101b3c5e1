package server

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// failuresShown is how many failures of a block are logged one by one in a second.
const failuresShown = 10

// The failures of a whole program: a flood is bounded, and what its block still has to say at the end, or when a reload
// replaces it, is said.
func TestFailuresOfProgram(t *testing.T) {
	const corefile = ".:0 {\n bind 127.0.0.1\n errors {\n  consolidate 5m ^2.lost\n }\n forward . 127.0.0.1:1 {\n  " +
		"health_check 0s\n }\n}\n"
	const pending = "[ERROR] plugin/errors: 3 errors like '^2.lost' occurred in last 5m0s"
	r := launch(t, corefile)
	ask := func(times int, name string) {
		for range times {
			if reply := exchange(t, "udp", r.Addresses()[0], name, dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
				t.Fatal(reply)
			}
		}
	}
	ask(3, "lost.test.")
	ask(10*failuresShown, "flood.test.")
	r.reload(t, corefile+"# another\n", reloaded)
	ask(3, "lost.test.")
	r.stop()
	if n := r.said(pending); n != 2 {
		t.Errorf("said %d times, want once for each configuration: %s\n%s", n, pending, r.log)
	}
	if n := r.said("flood.test"); n == 0 || n >= 10*failuresShown || !strings.Contains(r.log.String(),
		"more errors occurred in last 1s") {
		t.Errorf("%d lines of a flood of %d", n, 10*failuresShown)
	}
}
