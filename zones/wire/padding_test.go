package wire

import (
	"testing"

	"github.com/miekg/dns"
)

// TestPad: a reply to a query with padding is a multiple of 468 octets, or as large as may be; others are as ever.
func TestPad(t *testing.T) {
	for _, test := range []struct {
		padding, nsid, records int
		limit, want            int
	}{
		{0, 0, 0, MaxMessage, 468},
		{100, 0, 0, MaxMessage, 468},
		{100, 1, 1, MaxMessage, 468},
		{1, 0, 26, MaxMessage, 468},
		{1, 0, 27, MaxMessage, 936},
		{0, 0, 0, 100, 100},
		{0, 0, 0, 42, 42},
		{0, 0, 0, 41, 38},
		{-1, 0, 0, MaxMessage, 38},
	} {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
		m.SetEdns0(1232, false)
		opt := m.IsEdns0()
		if test.padding >= 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_PADDING{Padding: make([]byte, test.padding)})
		}
		if test.nsid > 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		}
		packet, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var q Query
		q.Parse(packet)
		var r Reply
		r.Start(&q, make([]byte, 0, MaxMessage), test.limit, 1232)
		r.Identify("here")
		r.Pad()
		for range test.records {
			r.AddRecord(AtQName, TypeA, 60, "\xc0\x00\x02\x01")
		}
		reply := r.Finish()
		got := new(dns.Msg)
		if err := got.Unpack(reply); err != nil || len(reply) != test.want || len(got.Answer) != test.records {
			t.Errorf("%+v: %d octets, %d records, %v", test, len(reply), len(got.Answer), err)
		}
	}
}
