package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// outage is how long the API server is away.
const outage = 30 * time.Second

// killedAndRestored takes the API server away under load, starts another server
// meanwhile, and at last brings the API server back as it was long before.
func killedAndRestored(t *testing.T) {
	c := startCluster(t)
	s := newSubject(t, c)
	c.kill(t)
	backup := c.snapshot(t)
	c.start(t)
	s.server = startUnder(t, c.kubeconfig(""))
	s.awaitServing(t, time.Minute)
	s.equalsAPI(t, healed)
	// Much is written after the backup: it is far behind.
	for range 50 {
		s.change(t)
	}
	s.equalsAPI(t, healed)

	killed(t, c, s)
	restored(t, c, s, backup)
}

// killed takes the API server away for a while.
func killed(t *testing.T, c *cluster, s *subject) {
	load := s.load(t)
	c.kill(t)
	began := time.Now()
	fresh := startedDuring(t, c, s)
	for time.Since(began) < outage {
		s.isReady(t, true)
		s.isHealthy(t)
		time.Sleep(500 * time.Millisecond)
	}
	for _, kind := range kinds {
		age := s.stale(t, kind)
		t.Logf("%s: what is known is %v old", kind, age.Round(time.Second))
		if age < outage-time.Second {
			t.Errorf("what is known of %s is said to be %v old after %v", kind, age, since(began))
		}
	}
	lines := strings.Count(s.said(), "reflector=")
	c.start(t)
	t.Logf("killed for %v: equal %v after the API server was ready; %d lines logged", since(began), s.equalsAPI(t, healed), lines)
	t.Logf("the server started during the outage: equal %v after that", fresh.equalsAPI(t, healed))
	load.end(t)
	if lines > len(kinds) {
		t.Errorf("%d lines about an outage of %v, want one for each kind:\n%s", lines, outage, s.said())
	}
	s.change(t)
	s.equalsAPI(t, healed)
	for _, kind := range kinds { // each has a watch of its own, which came back when it last tried
		await(t, healed, kind+" to be fresh", func() bool { return s.stale(t, kind) < outage/2 })
	}
}

// restored brings the API server back as it was long before.
func restored(t *testing.T, c *cluster, s *subject, backup string) {
	gone := s.name(fmt.Sprint("new-", s.next))
	s.awaitAnswer(t, healed, gone, dns.TypeA, answered)
	c.kill(t)
	c.restore(t, backup)
	c.start(t)
	t.Logf("restored from a backup: equal %v after the API server was ready", s.equalsAPI(t, healed))
	if reply := s.ask(t, "udp", gone, dns.TypeA); !denied(reply) {
		t.Errorf("the backup lacks %s, but\n%v", gone, reply)
	}
	s.next = 1
	s.change(t)
	s.equalsAPI(t, healed)
}

// startedDuring starts a server that has never seen the API server. It says
// that it does not know, and answers at once what does not come from there. It
// goes on by itself.
func startedDuring(t *testing.T, c *cluster, s *subject) *subject {
	t.Helper()
	fresh := *s
	began := time.Now()
	fresh.server = startUnder(t, c.kubeconfig(""))
	for _, name := range []string{"www.example.com.", "elsewhere.example.org."} {
		var reply *dns.Msg
		await(t, healed, name, func() (ok bool) {
			var err error
			reply, err = exchange(t.Context(), "udp", fresh.address, new(dns.Msg).SetQuestion(name, dns.TypeA))
			return err == nil
		})
		first := since(began)
		asked := time.Now()
		reply = fresh.ask(t, "udp", name, dns.TypeA)
		took := time.Since(asked)
		if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 || took > time.Second {
			t.Errorf("%s, after %v:\n%v", name, took, reply)
		}
		t.Logf("restarted during the outage: %s answered %v after the start, then within %v", name, first, took.Round(time.Microsecond))
	}
	fresh.unknown(t, fresh.name("web"), dns.TypeA)
	fresh.unknown(t, fresh.name("nothing"), dns.TypeA) // nobody knows that there is none
	fresh.unknown(t, "1.0.96.10.in-addr.arpa.", dns.TypePTR)
	fresh.unknown(t, "10-244-1-1."+fresh.space+".pod.cluster.local.", dns.TypeA)
	fresh.isReady(t, false)
	fresh.isHealthy(t)
	return &fresh
}
