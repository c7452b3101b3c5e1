package wire

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// withSubnet is a query with a client subnet.
func withSubnet(t testing.TB, data []byte) *Query {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("web.example.", dns.TypeA)
	m.SetEdns0(1232, false)
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}}, &dns.EDNS0_LOCAL{Code: OptionSubnet, Data: data})
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q := new(Query)
	if v := q.Parse(packet); v != Valid {
		t.Fatal(v)
	}
	return q
}

func TestSubnet(t *testing.T) {
	for _, test := range []struct {
		data    []byte
		network string // "" for none
		ok      bool
	}{
		{[]byte{0, 1, 24, 0, 10, 1, 2}, "10.1.2.0/24", true},
		{[]byte{0, 1, 32, 0, 10, 1, 2, 3}, "10.1.2.3/32", true},
		{[]byte{0, 1, 20, 0, 10, 1, 0xf0}, "10.1.240.0/20", true},
		{[]byte{0, 2, 56, 0, 0xfd, 0, 0, 0, 0, 1, 2}, "fd00:0:1:200::/56", true},
		{[]byte{0, 1, 0, 0}, "", true},
		{[]byte{0, 0, 0, 0}, "", true},
		{[]byte{0, 3, 9, 0, 1}, "", true}, // a family that nobody here knows
		{nil, "", false},
		{[]byte{0, 1, 0}, "", false},
		{[]byte{0, 1, 24, 1, 10, 1, 2}, "", false},
		{[]byte{0, 1, 24, 0, 10, 1}, "", false},
		{[]byte{0, 1, 24, 0, 10, 1, 2, 0}, "", false},
		{[]byte{0, 1, 20, 0, 10, 1, 0xff}, "", false},
		{[]byte{0, 1, 33, 0, 10, 1, 2, 3, 0}, "", false},
	} {
		s, ok := withSubnet(t, test.data).Subnet()
		network := ""
		if s.Network.IsValid() {
			network = s.Network.String()
		}
		if ok != test.ok || network != test.network || s.Given() != ok {
			t.Errorf("%v: got %q, %v, given %v; want %q, %v", test.data, network, ok, s.Given(), test.network, test.ok)
		}
	}
	if s, ok := new(Query).Subnet(); s.Given() || !ok {
		t.Error("a query without options has a subnet")
	}
}

// FuzzSubnet: what is read is a network, and a reply to it repeats the option with its scope, within the limit.
func FuzzSubnet(f *testing.F) {
	f.Add([]byte{0, 1, 24, 0, 10, 1, 2}, byte(24))
	f.Add([]byte{0, 2, 128, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, byte(64))
	f.Fuzz(func(t *testing.T, data []byte, scope byte) {
		if len(data) > 100 {
			return
		}
		q := withSubnet(t, data)
		s, ok := q.Subnet()
		if !ok {
			return
		}
		if s.Network.IsValid() {
			if s.Network != s.Network.Masked() {
				t.Fatalf("%v is no network", s.Network)
			}
			scope = min(scope, byte(s.Network.Addr().BitLen()))
		}
		var r Reply
		r.Start(q, make([]byte, 0, MinUDPSize), MinUDPSize, 1232)
		r.Answer(&s)
		r.Scope(int(scope))
		for i := range 64 { // until it is full
			ip := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).As4()
			r.AddRecord(AtQName, TypeA, 5, string(ip[:]))
		}
		packet := r.Finish()
		m := new(dns.Msg)
		if len(packet) > MinUDPSize {
			t.Fatalf("%d octets", len(packet))
		}
		if err := m.Unpack(packet); err != nil {
			if s.Network.IsValid() { // else the library may refuse the family
				t.Fatal(err)
			}
			return
		}
		for _, o := range m.IsEdns0().Option {
			if o, ok := o.(*dns.EDNS0_SUBNET); ok && (o.SourceScope != scope || o.SourceNetmask != data[2]) {
				t.Fatalf("got %v", o)
			}
		}
	})
}
