//go:build linux

package main

import (
	"testing"

	"github.com/miekg/dns"
)

// replyOf is a reply to a question, with records in presentation format.
func replyOf(t *testing.T, name string, qtype uint16, rcode int, records ...string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetRcode(question{name, qtype}.message(false), rcode)
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

func repeat(n int, m *dns.Msg) (list []*dns.Msg) {
	for range n {
		list = append(list, m)
	}
	return list
}

func TestOutcome(t *testing.T) {
	one := replyOf(t, "a.example.", dns.TypeA, dns.RcodeSuccess, "a.example. 5 A 10.0.0.1", "A.example. 5 A 10.0.0.2")
	other := replyOf(t, "a.example.", dns.TypeA, dns.RcodeSuccess, "a.example. 7 A 10.0.0.2", "a.example. 7 A 10.0.0.1")
	if outcome(one) != outcome(other) {
		t.Errorf("order, TTL or case make a difference:\n%s\n%s", outcome(one), outcome(other))
	}
	if less := replyOf(t, "a.example.", dns.TypeA, dns.RcodeSuccess, "a.example. 5 A 10.0.0.1"); outcome(one) == outcome(less) {
		t.Error("a missing record makes none")
	}
	if nx := replyOf(t, "a.example.", dns.TypeA, dns.RcodeNameError); outcome(nx) == outcome(replyOf(t, "a.example.", dns.TypeA, dns.RcodeSuccess)) {
		t.Error("the rcode makes none")
	}
}

func TestExpectations(t *testing.T) {
	found := replyOf(t, "a.example.", dns.TypeA, dns.RcodeSuccess, "a.example. 5 A 10.0.0.1")
	nodata := replyOf(t, "a.example.", dns.TypeAAAA, dns.RcodeSuccess)
	missing := replyOf(t, "none.example.", dns.TypeA, dns.RcodeNameError)
	failed := replyOf(t, "a.example.", dns.TypeA, dns.RcodeServerFailure)
	srv := replyOf(t, "a.example.", dns.TypeSRV, dns.RcodeSuccess, "a.example. 5 SRV 0 0 1 b.example.")
	ptr := replyOf(t, "1.0.0.10.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, "1.0.0.10.in-addr.arpa. 5 PTR a.example.")
	mix := append(repeat(60, missing), repeat(20, found)...)
	mix = append(append(append(mix, repeat(15, nodata)...), repeat(3, srv)...), repeat(2, ptr)...)
	for _, test := range []struct {
		name    string
		expect  func([]*dns.Msg) error
		replies []*dns.Msg
		right   bool
	}{
		{"one address", addresses(1), repeat(2, found), true},
		{"too few", addresses(2), repeat(2, found), false},
		{"none", addresses(1), []*dns.Msg{missing}, false},
		{"pods", pods, append(repeat(5, found), repeat(5, missing)...), true},
		{"pods, hardly any records", pods, append(repeat(1, found), repeat(9, missing)...), false},
		{"pods, a failure", pods, append(repeat(9, found), failed), false},
		{"ndots5", ndots5, mix, true},
		{"ndots5, all found", ndots5, repeat(100, found), false},
		{"ndots5, failures", ndots5, append(mix[:85:85], repeat(15, failed)...), false},
	} {
		if err := test.expect(test.replies); (err == nil) != test.right {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
