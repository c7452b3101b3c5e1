package resolver

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestCutReplyCosts: a client that asks again over TCP because the reply is cut costs two queries to upstream at most,
// as it would without this server.
func TestCutReplyCosts(t *testing.T) {
	for name, tt := range map[string]struct {
		stream     string // what upstream does over TCP
		cache      *Cache
		udp, again string // the answers
	}{
		"whole over TCP":    {"whole", &Cache{}, "NOERROR 192.0.2.1", "NOERROR 192.0.2.1"},
		"without a cache":   {"whole", nil, "NOERROR cut", "NOERROR 192.0.2.1"},
		"silent over TCP":   {"silent", &Cache{}, "NOERROR cut", "SERVFAIL 24 (Invalid Data): (" + edeCut + ")"},
		"cut over TCP too":  {"cut", &Cache{}, "NOERROR cut", "SERVFAIL 24 (Invalid Data): (" + edeCut + ")"},
		"cut without cache": {"cut", nil, "NOERROR cut", "NOERROR cut"},
	} {
		t.Run(name, func(t *testing.T) {
			up := serve(t, func(q, reply *dns.Msg, tcp bool) *dns.Msg {
				switch {
				case tcp && tt.stream == "silent":
					return nil
				case tcp && tt.stream == "whole":
					return answering("192.0.2.1")(q, reply, tcp)
				}
				reply.Truncated = true
				return reply
			})
			if tt.cache != nil {
				tt.cache.ServFail = 5 * time.Second
			}
			r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232, Cache: tt.cache, Forwards: []Forward{
				{From: ".", To: []Upstream{{Address: up.addr}}, ReadTimeout: 2 * time.Second}}})
			ask := func(question, want string) {
				request := asking(t, question, time.Now())
				r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 65535))
				expect(t, said(finished(t, request)), want)
			}
			ask("www.example.org. A", tt.udp)
			ask("www.example.org. A tcp", tt.again)
			if n := up.udp.Load() + up.tcp.Load(); n > 2 {
				t.Errorf("%d queries over UDP and %d over TCP", up.udp.Load(), up.tcp.Load())
			}
		})
	}
}
