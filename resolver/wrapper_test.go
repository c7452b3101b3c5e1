package resolver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// records makes a handler that adds records to the sections of its replies.
func records(t *testing.T, answer, authority, additional string) func(q, reply *dns.Msg, tcp bool) *dns.Msg {
	parse := func(text string) dns.RR { return must(dns.NewRR(text)) }
	return func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		reply.Answer = append(reply.Answer, parse(q.Question[0].Name+" "+answer))
		reply.Ns, reply.Extra = append(reply.Ns, parse(authority)), append(reply.Extra, parse(additional))
		return reply
	}
}

var renamed = Rewrite{Match: MatchExact, From: "a.example.org.", To: "b.example.net.", Auto: true}

// TestRewrittenAnswersAreWhole: an answer to a rewritten question has the sections that one to its own name has.
func TestRewrittenAnswersAreWhole(t *testing.T) {
	up := serve(t, records(t, "60 IN MX 10 mail.example.net.", "example.net. 60 IN NS ns.example.net.",
		"mail.example.net. 60 IN A 192.0.2.9"))
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232, Rewrites: []Rewrite{renamed},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}}}})
	for _, name := range []string{"a.example.org.", "b.example.net."} {
		m, _ := exchanged(t, r, name+" MX")
		if got, want := lines(m.Answer), name+" 60 IN MX 10 mail.example.net.\n"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if lines(m.Ns) != "example.net. 60 IN NS ns.example.net.\n" ||
			lines(m.Extra) != "mail.example.net. 60 IN A 192.0.2.9\n" {
			t.Errorf("%s: %s%s", name, lines(m.Ns), lines(m.Extra))
		}
	}
}

// TestRewrittenAnswersAreNotAuthentic: what the upstream has validated has another name (RFC 4035 section 3.2.3).
func TestRewrittenAnswersAreNotAuthentic(t *testing.T) {
	up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		reply.AuthenticatedData = true
		return answering("192.0.2.1")(q, reply, tcp)
	})
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232, Rewrites: []Rewrite{renamed},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}}}})
	for name, want := range map[string]bool{"a.example.org.": false, "b.example.net.": true} {
		if m, _ := exchanged(t, r, name+" A do"); m.AuthenticatedData != want || len(m.Answer) != 1 {
			t.Errorf("%s: AD %v, %d answers", name, m.AuthenticatedData, len(m.Answer))
		}
	}
}

// TestLittleScratchIsKept: a request gives back the memory that a large answer took.
func TestLittleScratchIsKept(t *testing.T) {
	up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		for i := range 3500 {
			reply.Answer = append(reply.Answer,
				must(dns.NewRR(fmt.Sprintf("%s 60 IN A 10.0.%d.%d", q.Question[0].Name, i/250, i%250))))
		}
		return reply
	})
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232, Rewrites: []Rewrite{renamed},
		Forwards: []Forward{{From: ".", ForceTCP: true, To: []Upstream{{Address: up.addr}}}}})
	request := asking(t, "a.example.org. A tcp", time.Now())
	reply, _ := r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 65535))
	if len(reply) < 50_000 || cap(request.message) > keptMessage {
		t.Errorf("a reply of %d octets leaves %d", len(reply), cap(request.message))
	}
}

// TestDNS64LeavesCutAnswers: a cut answer may have AAAA records, so the client has to ask again over TCP.
func TestDNS64LeavesCutAnswers(t *testing.T) {
	up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
		switch {
		case tcp:
			return nil
		case q.Question[0].Qtype == dns.TypeAAAA:
			reply.Truncated = true
			return reply
		}
		return answering("192.0.2.1")(q, reply, tcp)
	})
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232,
		DNS64:    &DNS64{Prefix: netip.MustParsePrefix("64:ff9b::/96"), AllowIPv4: true},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: time.Second}}})
	if m, _ := exchanged(t, r, "www.example.org. AAAA"); !m.Truncated || len(m.Answer) != 0 {
		t.Error(m)
	}
}
