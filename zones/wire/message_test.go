package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// message packs a reply to "name type" with records given in zone-file form, by section.
func message(t testing.TB, question string, rcode int, sections ...string) []byte {
	t.Helper()
	name, qtype, _ := strings.Cut(question, " ")
	m := new(dns.Msg)
	m.SetQuestion(name, dns.StringToType[qtype])
	m.Response, m.Rcode, m.Compress, m.Id = true, rcode, true, 7
	for i, records := range sections {
		for line := range strings.Lines(records) {
			if strings.TrimSpace(line) == "" {
				continue
			}
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatal(err)
			}
			section := []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra}[i]
			*section = append(*section, rr)
		}
	}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

const soa = "example.org. 900 IN SOA ns.example.org. host.example.org. 1 2 3 4 60\n"

func TestOutcome(t *testing.T) {
	tests := []struct {
		name     string
		question string
		rcode    int
		sections []string
		outcome  Outcome
		timed    bool
		ttl      uint32
	}{
		{"an address", "www.example.org. A", 0, []string{"www.example.org. 300 IN A 192.0.2.1"}, Answered, true, 300},
		{"the smallest TTL counts", "www.example.org. A", 0,
			[]string{"www.example.org. 300 IN A 192.0.2.1", "example.org. 20 IN NS ns.example.org."},
			Answered, true, 20},
		{"a TTL with the top bit set is 0", "www.example.org. A", 0,
			[]string{"www.example.org. 2147483648 IN A 192.0.2.1"}, Answered, true, 0},
		{"mixed case", "www.example.org. A", 0, []string{"WWW.Example.org. 300 IN A 192.0.2.1"}, Answered, true, 300},
		{"an alias and its address", "www.example.org. A", 0,
			[]string{"www.example.org. 30 IN CNAME a.example.net.\na.example.net. 300 IN A 192.0.2.1"},
			Answered, true, 30},
		{"a chain out of order", "www.example.org. A", 0,
			[]string{"b.example.net. 300 IN A 192.0.2.1\na.example.net. 300 IN CNAME b.example.net.\n" +
				"www.example.org. 30 IN CNAME a.example.net."}, Answered, true, 30},
		{"the alias itself", "www.example.org. CNAME", 0, []string{"www.example.org. 30 IN CNAME a.example.net."},
			Answered, true, 30},
		{"ANY", "www.example.org. ANY", 0, []string{"www.example.org. 30 IN TXT \"x\""}, Answered, true, 30},
		{"NODATA", "www.example.org. A", 0, []string{"", soa}, NoData, true, 60},
		{"NODATA without SOA", "www.example.org. A", 0, nil, NoData, false, 0},
		{"NODATA with the SOA of another tree", "www.example.com. A", 0, []string{"", soa}, NoData, false, 0},
		{"NODATA of the last name", "www.example.com. AAAA", 0,
			[]string{"www.example.com. 30 IN CNAME a.example.org.", soa}, NoData, true, 30},
		{"NODATA under the root's SOA", "www.example.com. A", 0, []string{"", ". 86400 IN SOA a. b. 1 2 3 4 86400"},
			NoData, true, 86400},
		{"addresses of another name are no answer", "www.example.org. A", 0,
			[]string{"xxx.example.org. 300 IN A 192.0.2.1", soa}, NoData, true, 60},
		{"NXDOMAIN", "www.example.org. A", dns.RcodeNameError, []string{"", soa}, NoName, true, 60},
		{"a MINIMUM with the top bit set is 0", "www.example.org. A", dns.RcodeNameError,
			[]string{"", "example.org. 900 IN SOA a. b. 1 2 3 4 2147483648"}, NoName, true, 0},
		{"NXDOMAIN without SOA", "www.example.org. A", dns.RcodeNameError, nil, NoName, false, 0},
		{"NXDOMAIN of the last name", "www.example.com. A", dns.RcodeNameError,
			[]string{"www.example.com. 7 IN CNAME a.example.org.", soa}, NoName, true, 7},
		{"NXDOMAIN with an answer", "www.example.org. A", dns.RcodeNameError,
			[]string{"www.example.org. 300 IN A 192.0.2.1", soa}, Unusable, false, 0},
		{"a circle", "a.example.org. A", 0,
			[]string{"a.example.org. 30 IN CNAME b.example.org.\nb.example.org. 30 IN CNAME a.example.org."},
			Unusable, false, 0},
		{"a referral", "www.example.org. A", 0, []string{"", "example.org. 300 IN NS ns.example.org."},
			Referral, false, 0},
		{"SERVFAIL", "www.example.org. A", dns.RcodeServerFailure, []string{"", soa}, Failed, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			packet := message(t, tt.question, tt.rcode, tt.sections...)
			var m Message
			if !m.Read(packet) {
				t.Fatal("refused")
			}
			if m.Outcome != tt.outcome || m.Timed != tt.timed || m.Timed && m.TTL != tt.ttl {
				t.Errorf("outcome %d timed %v TTL %d, want %d %v %d", m.Outcome, m.Timed, m.TTL, tt.outcome, tt.timed,
					tt.ttl)
			}
			if m.Ends[Additional] != len(packet) || m.Split {
				t.Errorf("sections end at %v of %d, split %v", m.Ends, len(packet), m.Split)
			}
		})
	}
}

func TestOPTOfMessage(t *testing.T) {
	unpacked := new(dns.Msg)
	if err := unpacked.Unpack(message(t, "www.example.org. A", 0, "www.example.org. 300 IN A 192.0.2.1", "",
		"a.example.org. 5 IN A 192.0.2.2")); err != nil {
		t.Fatal(err)
	}
	unpacked.SetEdns0(1232, true)
	opt := unpacked.IsEdns0()
	unpacked.Rcode = dns.RcodeBadCookie
	opt.Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0011223344556677"},
		&dns.EDNS0_EDE{InfoCode: 3, ExtraText: "old"}}
	for _, last := range []bool{true, false} {
		if !last {
			unpacked.Extra[0], unpacked.Extra[1] = unpacked.Extra[1], unpacked.Extra[0]
		}
		packet, err := unpacked.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var m Message
		if !m.Read(packet) {
			t.Fatal("refused")
		}
		if m.Split == last || m.Counts != [3]uint16{1, 0, 1} || m.Rcode != dns.RcodeBadCookie || m.TTL != 5 {
			t.Errorf("OPT last %v: split %v, counts %v, rcode %d, TTL %d", last, m.Split, m.Counts, m.Rcode, m.TTL)
		}
		if !m.EDNS || !m.Error || m.Info != StaleAnswer || string(m.Text) != "old" {
			t.Errorf("extended error %v %d %q", m.Error, m.Info, m.Text)
		}
	}
}

func TestMalformedMessages(t *testing.T) {
	good := message(t, "www.example.org. CNAME", 0, "www.example.org. 30 IN CNAME a.example.net.")
	tests := []struct {
		name   string
		change func([]byte) []byte
	}{
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }},
		{"a record too many", func(b []byte) []byte { b[7]++; return b }},
		{"no header", func(b []byte) []byte { return b[:11] }},
		{"two questions", func(b []byte) []byte { b[5]++; return b }},
		{"an owner that points into the header", func(b []byte) []byte { b[34] = 4; return b }},
		{"an owner that points at itself", func(b []byte) []byte { b[34] = 33; return b }},
		{"an owner that points forward", func(b []byte) []byte { b[34] = 50; return b }},
		{"a target with an unknown label type", func(b []byte) []byte { b[45] = 0x80; return b }},
		{"a target shorter than its data", func(b []byte) []byte { b[45] = 0; return b }},
		{"a target that is its own suffix", func(b []byte) []byte { copy(b[len(b)-2:], []byte{0xc0, 45}); return b }},
		{"a target that runs on over its own pointer", func(b []byte) []byte {
			return append(b[:33:33], 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, 'a', 0xc0, 44, 0, 0, 0, 0, 0)
		}},
		{"65 pointers to pointers", func(b []byte) []byte {
			b = append(b[:33:33], 0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 9, 0, 132, 0xc0, 12)
			for at := 45; at < 45+130; at += 2 {
				b = append(b, 0xc0, byte(at))
			}
			b[7]++
			return append(b, 0xc0, 175, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4)
		}},
		{"an address of three octets", func(b []byte) []byte {
			return append(b[:33:33], 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3)
		}},
		{"an OPT in the answer section",
			func(b []byte) []byte { return append(b[:33:33], 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0) }},
	}
	var m Message
	if !m.Read(good) {
		t.Fatal("the whole message is refused")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m.Read(tt.change(bytes.Clone(good))) {
				t.Error("taken")
			}
		})
	}
}

func TestIsReply(t *testing.T) {
	question := []byte("\x03www\x07example\x03org\x00\x00\x01\x00\x01")
	good := message(t, "WWW.example.org. A", 0)
	if !IsReply(good, 7, question) {
		t.Fatal("the right reply is refused")
	}
	tests := []struct {
		name   string
		change func([]byte)
	}{
		{"another ID", func(b []byte) { b[1]++ }},
		{"a query", func(b []byte) { b[2] &^= 0x80 }},
		{"another opcode", func(b []byte) { b[2] |= 0x28 }},
		{"another name", func(b []byte) { b[13] = 'x' }},
		{"another type", func(b []byte) { b[30] = 28 }},
		{"another class", func(b []byte) { b[32] = 3 }},
		{"no question and no complaint", func(b []byte) { b[5] = 0 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(good)
			tt.change(b)
			if IsReply(b, 7, question) {
				t.Error("taken")
			}
		})
	}
	if !IsReply([]byte{0, 7, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 7, question) {
		t.Error("a FORMERR that is only a header is refused")
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	packet := message(t, "www.example.org. A", 0,
		"www.example.org. 30 IN CNAME a.example.net.\na.example.net. 300 IN A 192.0.2.1", soa)
	question := []byte("\x03www\x07example\x03org\x00\x00\x01\x00\x01")
	var m Message
	if n := testing.AllocsPerRun(100, func() {
		if !IsReply(packet, 7, question) || !m.Read(packet) {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A message that is taken means the same behind another header and the question in another case, and can be walked
// without checks.
func FuzzMessage(f *testing.F) {
	f.Add(message(f, "www.example.org. A", 0,
		"www.example.org. 30 IN CNAME a.example.net.\na.example.net. 300 IN A 192.0.2.1", soa,
		"x.example.org. 1 IN SRV 1 2 3 a.example.net."))
	f.Add(message(f, "1.example.org. MX", dns.RcodeNameError, "", soa))
	f.Fuzz(func(t *testing.T, packet []byte) {
		var m Message
		if !m.Read(packet) {
			return
		}
		moved := bytes.Clone(packet)
		copy(moved, "\xff\xff\xff\xff")
		copy(moved[2:4], packet[2:4])
		if m.Start > HeaderSize {
			for i, c := range moved[HeaderSize : m.Start-4] {
				if c >= 'a' && c <= 'z' {
					moved[HeaderSize+i] = c - 'a' + 'A'
				}
			}
		}
		var again Message
		if !again.Read(moved) {
			t.Fatal("refused behind another header")
		}
		if again.Outcome != m.Outcome || again.TTL != m.TTL || again.Ends != m.Ends || again.Timed != m.Timed {
			t.Fatalf("%+v behind another header is %+v", m, again)
		}
		if m.Split {
			return
		}
		at := m.Start
		for range int(m.Counts[0]) + int(m.Counts[1]) + int(m.Counts[2]) {
			var r Record
			var ok bool
			if at, ok = r.Read(packet, at); !ok {
				t.Fatal("a record is out of bounds")
			}
			data := r.Unpack(nil, packet, at)
			if before, names, after := r.Type.shape(); names > 0 && len(data) < before+names+after {
				t.Fatalf("data %x", data)
			}
		}
		if at != m.Ends[Additional] {
			t.Fatalf("sections end at %d, not at %d", at, m.Ends[Additional])
		}
	})
}
