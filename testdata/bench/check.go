//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// checked is how many questions of a list every server is asked before it is measured.
const checked = 300

// check asks all servers of a row the same questions. Their answers have to be right, and the same but for the echo's
// and those for the client.
func (b *bench) check(r row, servers []*server) error {
	var first []*dns.Msg
	var of *server
	for _, s := range servers {
		replies, err := b.askAll(r, s)
		if err != nil {
			return err
		}
		if s.peer.name == "echo" {
			if err := addresses(1)(replies); err != nil {
				return fmt.Errorf("echo: %w", err)
			}
			continue
		}
		if err := r.list.expect(replies); err != nil {
			return fmt.Errorf("%s: %w", s.peer.name, err)
		}
		if first == nil || of.world != s.world || r.part == client {
			first, of = replies, s
		}
		for i, reply := range replies {
			if said, want := outcome(reply), outcome(first[i]); said != want {
				return fmt.Errorf("%s answers %s with\n%s\nbut %s with\n%s", s.peer.name, reply.Question[0].String(), said, of.peer.name, want)
			}
		}
	}
	return nil
}

func (b *bench) askAll(r row, s *server) (replies []*dns.Msg, err error) {
	list, err := r.list.make(b, s.world, "check", checked)
	if err != nil {
		return nil, err
	}
	for _, q := range list[:min(checked, len(list))] {
		reply, err := ask(s, q.message(r.edns), r.tcp)
		if err != nil {
			return nil, fmt.Errorf("%s, asked for %s: %w", s.peer.name, q.name, err)
		}
		replies = append(replies, reply)
	}
	return replies, nil
}

// attempts are how often a server is asked that may still be busy with what it was asked before.
const attempts = 5

// ask asks a server, again if it does not answer.
func ask(s *server, m *dns.Msg, tcp bool) (reply *dns.Msg, err error) {
	client := dns.Client{Timeout: 2 * time.Second}
	if tcp {
		client.Net = "tcp"
	}
	for range attempts {
		if reply, _, err = client.Exchange(m, s.address()); err == nil {
			break
		}
	}
	return reply, err
}

// outcome is what a client learns of a reply: the rcode and the records, or that it has to ask over TCP. Servers differ in what
// they send in a truncated reply.
func outcome(m *dns.Msg) string {
	if m.Truncated {
		return "truncated"
	}
	lines := []string{dns.RcodeToString[m.Rcode]}
	for _, rr := range m.Answer {
		rr = dns.Copy(rr)
		rr.Header().Ttl = 0
		lines = append(lines, strings.ToLower(rr.String()))
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

// addresses expects so many addresses in each reply.
func addresses(count int) func([]*dns.Msg) error {
	return func(replies []*dns.Msg) error {
		for _, m := range replies {
			got := 0
			for _, rr := range m.Answer {
				if rr.Header().Rrtype == dns.TypeA {
					got++
				}
			}
			if m.Rcode != dns.RcodeSuccess || got != count {
				return fmt.Errorf("%s: %d addresses, want %d:\n%v", m.Question[0].Name, got, count, m)
			}
		}
		return nil
	}
}

// pods expects what pods ask to be answered, mostly with records.
func pods(replies []*dns.Msg) error {
	records := 0
	for _, m := range replies {
		if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			return fmt.Errorf("%s: %s", m.Question[0].Name, dns.RcodeToString[m.Rcode])
		}
		if len(m.Answer) > 0 || m.Truncated {
			records++
		}
	}
	if records < len(replies)/3 {
		return fmt.Errorf("%d of %d answers have records", records, len(replies))
	}
	return nil
}

// ndots5 expects the mix of its name.
func ndots5(replies []*dns.Msg) error {
	shares := map[string]float64{}
	for _, m := range replies {
		kind := dns.TypeToString[m.Question[0].Qtype]
		switch {
		case m.Rcode == dns.RcodeNameError:
			kind = "NXDOMAIN"
		case m.Rcode != dns.RcodeSuccess || (len(m.Answer) == 0) != (kind == "AAAA") && !m.Truncated:
			kind = "else"
		}
		shares[kind] += 100 / float64(len(replies))
	}
	for kind, want := range map[string]float64{"NXDOMAIN": 60, "A": 20, "AAAA": 15, "SRV": 3, "PTR": 2, "else": 0} {
		const tolerance = 8 // of a sample
		if got := shares[kind]; got < want-tolerance || got > want+tolerance {
			return fmt.Errorf("%.0f %% of the answers are %s, want %.0f %%", got, kind, want)
		}
	}
	return nil
}
