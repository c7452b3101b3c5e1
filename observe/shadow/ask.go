package shadow

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// payload is the octets of a UDP reply that a question offers: no network has to fragment them.
const payload = 1232

// errForeign is a reply to another question.
var errForeign = errors.New("the reply is to another question")

// Ask asks server over UDP, and over TCP what UDP has no room for; with stream over TCP alone. took is how long the last of
// these took.
func Ask(
	ctx context.Context, server netip.AddrPort, m *dns.Msg, timeout time.Duration, stream bool,
) (reply *dns.Msg, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	networks := []string{"udp", "tcp"}
	if stream {
		networks = networks[1:]
	}
	for _, network := range networks {
		client := dns.Client{Net: network, Timeout: timeout}
		reply, took, err = client.ExchangeContext(ctx, m, server.String())
		if err != nil {
			return nil, took, err
		}
		if len(reply.Question) > 0 && !sameQuestion(reply.Question[0], m.Question[0]) {
			return nil, took, errForeign
		}
		if !reply.Truncated {
			break
		}
	}
	return reply, took, nil
}

func sameQuestion(a, b dns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}

// again is the question of a client, as it is asked once more.
func again(of *dns.Msg) *dns.Msg {
	m := &dns.Msg{Question: of.Question[:1]}
	m.Id, m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = dns.Id(), of.RecursionDesired, of.CheckingDisabled,
		of.AuthenticatedData
	if opt := of.IsEdns0(); opt != nil {
		m.SetEdns0(payload, opt.Do())
	}
	return m
}
