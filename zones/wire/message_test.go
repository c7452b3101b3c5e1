package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
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
		if m.Rcode != dns.RcodeBadCookie || m.TTL != 300 {
			t.Errorf("OPT last %v: rcode %d, TTL %d", last, m.Rcode, m.TTL)
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

// pack is what Pack keeps of a packet, with a header.
func pack(t testing.TB, packet []byte) []byte {
	t.Helper()
	var m Message
	if !m.Read(packet) {
		t.Fatal("refused")
	}
	packed, counts, _ := m.Pack(nil, packet)
	for i, n := range counts {
		binary.BigEndian.PutUint16(packed[6+2*i:], n)
	}
	return packed
}

// TestWhatBelongsToTheQuestion: records that do not are left out, whatever section they stand in.
func TestWhatBelongsToTheQuestion(t *testing.T) {
	const sig = " 300 IN RRSIG %s 13 3 300 20300101000000 20200101000000 1 example.org. c2ln\n"
	signed := func(owner, t string) string { return owner + fmt.Sprintf(sig, t) }
	const a, other = "www.example.org. 300 IN A 192.0.2.1\n", "other.test. 300 IN A 198.51.100.66\n"
	const alias = "www.example.org. 300 IN CNAME a.example.net.\n"
	tests := []struct {
		name, question string
		rcode          int
		sections       []string
		want           string // records, a line before each section
	}{
		{"an address of another name", "www.example.org. A", 0, []string{other + a + other}, a + "--\n--\n"},
		{"another type of the name", "www.example.org. A", 0, []string{a + "www.example.org. 300 IN TXT \"x\"\n"},
			a + "--\n--\n"},
		{"all types for ANY", "www.example.org. ANY", 0, []string{a + "www.example.org. 300 IN TXT \"x\"\n" + other},
			a + "www.example.org. 300 IN TXT \"x\"\n" + "--\n--\n"},
		{"aliases come first", "www.example.org. A", 0,
			[]string{"b.example.net. 300 IN A 192.0.2.2\na.example.net. 300 IN CNAME b.example.net.\n" + alias},
			alias + "a.example.net. 300 IN CNAME b.example.net.\nb.example.net. 300 IN A 192.0.2.2\n--\n--\n"},
		{"one alias of a name", "www.example.org. A", 0,
			[]string{alias + "www.example.org. 300 IN CNAME b.example.net.\nb.example.net. 300 IN A 192.0.2.2\n"},
			alias + "--\n--\n"},
		{"no alias beside what was asked for", "www.example.org. A", 0, []string{alias + a}, a + "--\n--\n"},
		{"the alias that was asked for", "www.example.org. CNAME", 0,
			[]string{alias + "a.example.net. 300 IN CNAME b.example.net.\n"}, alias + "--\n--\n"},
		{"signatures of what is kept", "www.example.org. A", 0,
			[]string{signed("www.example.org.", "TXT") + signed("www.example.org.", "A") + a + signed("other.test.", "A")},
			a + signed("www.example.org.", "A") + "--\n--\n"},
		{"DNAME before the alias made of it", "www.example.org. A", 0,
			[]string{"www.example.org. 0 IN CNAME www.example.net.\nexample.org. 300 IN DNAME example.net.\n" +
				signed("example.org.", "DNAME") + "example.com. 300 IN DNAME example.net.\n"},
			"example.org. 300 IN DNAME example.net.\n" + signed("example.org.", "DNAME") +
				"www.example.org. 0 IN CNAME www.example.net.\n--\n--\n"},
		{"no signature of an alias elsewhere", "www.example.org. A", 0,
			[]string{alias + signed("www.example.org.", "CNAME") + signed("a.example.net.", "CNAME")},
			alias + signed("www.example.org.", "CNAME") + "--\n--\n"},
		{"the SOA of another tree", "www.example.com. A", dns.RcodeNameError, []string{"", soa}, "--\n--\n"},
		{"the SOA and its proof", "www.example.org. A", dns.RcodeNameError,
			[]string{"", soa + signed("example.org.", "SOA") + "a.example.org. 60 IN NSEC z.example.org. A RRSIG NSEC\n" +
				signed("a.example.org.", "NSEC") + signed("a.example.org.", "A") + other},
			"--\n" + soa + signed("example.org.", "SOA") + "a.example.org. 60 IN NSEC z.example.org. A RRSIG NSEC\n" +
				signed("a.example.org.", "NSEC") + "--\n"},
		{"name servers of another zone", "www.example.org. A", 0,
			[]string{a, "example.org. 300 IN NS ns.example.net.\nbank.test. 300 IN NS ns.evil.test.\n",
				"ns.example.net. 300 IN A 192.0.2.53\nns.evil.test. 300 IN A 198.51.100.66\n" + other},
			a + "--\nexample.org. 300 IN NS ns.example.net.\n--\nns.example.net. 300 IN A 192.0.2.53\n"},
		{"addresses of services", "_sip._udp.example.org. SRV", 0,
			[]string{"_sip._udp.example.org. 60 IN SRV 1 2 5060 sip.example.org.\n", "",
				other + "sip.example.org. 60 IN A 192.0.2.5\n"},
			"_sip._udp.example.org. 60 IN SRV 1 2 5060 sip.example.org.\n--\n--\nsip.example.org. 60 IN A 192.0.2.5\n"},
		{"service bindings", "example.org. HTTPS", 0,
			[]string{"example.org. 60 IN HTTPS 0 svc.example.net.\n", "",
				"svc.example.net. 60 IN HTTPS 1 pool.example.net.\npool.example.net. 60 IN A 192.0.2.6\n" + other},
			"example.org. 60 IN HTTPS 0 svc.example.net.\n--\n--\nsvc.example.net. 60 IN HTTPS 1 pool.example.net.\n" +
				"pool.example.net. 60 IN A 192.0.2.6\n"},
		{"a service binding to its owner", "www.example.org. HTTPS", 0,
			[]string{"www.example.org. 60 IN HTTPS 1 .\n", "", a + other},
			"www.example.org. 60 IN HTTPS 1 .\n--\n--\n" + a},
		{"a NAPTR and what it leads to", "example.org. NAPTR", 0,
			[]string{"example.org. 60 IN NAPTR 1 2 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.org.\n", "",
				"_sip._udp.example.org. 60 IN SRV 1 2 5060 sip.example.org.\n" + other + "sip.example.org. 60 IN A 192.0.2.5\n"},
			"example.org. 60 IN NAPTR 1 2 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.org.\n--\n--\n" +
				"_sip._udp.example.org. 60 IN SRV 1 2 5060 sip.example.org.\nsip.example.org. 60 IN A 192.0.2.5\n"},
		{"letters of names in data stay", "1.2.0.192.in-addr.arpa. PTR", 0,
			[]string{"1.2.0.192.IN-ADDR.arpa. 60 IN PTR Printer.Example.org.\n"},
			"1.2.0.192.in-addr.arpa. 60 IN PTR Printer.Example.org.\n--\n--\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			packed := pack(t, message(t, tt.question, tt.rcode, tt.sections...))
			var got dns.Msg
			if err := got.Unpack(packed); err != nil {
				t.Fatal(err)
			}
			text := ""
			for i, section := range [][]dns.RR{got.Answer, got.Ns, got.Extra} {
				if i > 0 {
					text += "--\n"
				}
				for _, rr := range section {
					text += rr.String() + "\n"
				}
			}
			want := ""
			for line := range strings.Lines(tt.want) {
				if rr, err := dns.NewRR(line); err == nil && rr != nil && line != "--\n" {
					line = rr.String() + "\n"
				}
				want += line
			}
			if text != want {
				t.Errorf("got\n%swant\n%s", text, want)
			}
			pointsAtNames(t, packed)
		})
	}
}

// pointsAtNames fails unless each compression pointer of a message leads to a label of an earlier name.
func pointsAtNames(t testing.TB, message []byte) {
	t.Helper()
	labels := map[int]bool{}
	name := func(at int) int {
		for message[at] != 0 {
			if message[at] >= 0xc0 {
				if to := int(binary.BigEndian.Uint16(message[at:]) & 0x3fff); !labels[to] {
					t.Fatalf("the pointer at %d leads to %d, which is in no name: %x", at, to, message)
				}
				return at + 2
			}
			labels[at] = true
			at += 1 + int(message[at])
		}
		labels[at] = true
		return at + 1
	}
	at := HeaderSize
	for range binary.BigEndian.Uint16(message[4:]) {
		at = name(at) + 4
	}
	for _, n := range []int{6, 8, 10} {
		for range binary.BigEndian.Uint16(message[n:]) {
			var r Record
			next, ok := r.Read(message, at)
			if !ok {
				t.Fatalf("a record is out of bounds: %x", message)
			}
			name(at)
			before, names, _ := r.Type.shape()
			for data := r.TTLAt + 6 + before; names > 0; names-- {
				data = name(data)
			}
			at = next
		}
	}
	if at != len(message) {
		t.Fatalf("%d octets behind the records", len(message)-at)
	}
}

// TestPointersIntoOtherThings: what a name reads as when it comes is what it stays.
func TestPointersIntoOtherThings(t *testing.T) {
	question := "\x03www\x07example\x03org\x00\x00\x05\x00\x01"
	packet := func(records string, counts ...byte) []byte {
		header := []byte{0, 7, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}
		for i, n := range counts {
			header[7+2*i] = n
		}
		return append(append(header, question...), records...)
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		// The TTL at offset 39 is a label of one letter and the root.
		{"into a TTL", packet("\xc0\x0c\x00\x01\x00\x01\x01a\x00\x00\x00\x04\xc0\x00\x02\x01"+
			"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x27", 2), "a."},
		// The address at offset 45 is a label and the root.
		{"into an address", packet("\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x02bc\x00"+
			"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x2d", 2), "bc."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packed := pack(t, tt.data)
			pointsAtNames(t, packed)
			var got dns.Msg
			if err := got.Unpack(packed); err != nil || len(got.Answer) != 1 || got.Answer[0].(*dns.CNAME).Target != tt.want {
				t.Errorf("%v %v", err, &got)
			}
		})
	}
}

// TestRecordsWithoutQuestion: nothing belongs to no question.
func TestRecordsWithoutQuestion(t *testing.T) {
	packet := []byte("\x00\x07\x81\x81\x00\x00\x00\x00\x00\x00\x00\x02" +
		"\x01a\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01" +
		"\x01b\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01")
	if packed := pack(t, packet); len(packed) != HeaderSize {
		t.Errorf("%x", packed)
	}
}

// FuzzMessage: what is kept of a message can be read by another implementation, has no pointers but to names, and is
// kept whole when it is read again, behind another header and with TTLs that have aged.
func FuzzMessage(f *testing.F) {
	f.Add(message(f, "www.example.org. A", 0,
		"www.example.org. 30 IN CNAME a.example.net.\na.example.net. 300 IN A 192.0.2.1", soa,
		"x.example.org. 1 IN SRV 1 2 3 a.example.net."))
	f.Add(message(f, "1.example.org. MX", dns.RcodeNameError, "", soa))
	f.Add(message(f, "example.org. MX", 0,
		"example.org. 60 IN MX 1 m.example.org.\nexample.org. 60 IN MX 1 n.example.net.",
		"example.org. 60 IN NS ns.example.org.",
		"m.example.org. 60 IN A 192.0.2.1\nn.example.net. 60 IN A 192.0.2.1"))
	f.Add(message(f, "_sip._udp.example.org. SRV", 0, "_sip._udp.example.org. 60 IN SRV 1 2 5060 sip.example.org.", soa,
		"sip.example.org. 60 IN A 192.0.2.5"))
	f.Add([]byte("\x00\x07\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00" +
		"\x03www\x07example\x03org\x00\x00\x05\x00\x01" +
		"\xc0\x0c\x00\x01\x00\x01\x01a\x00\x00\x00\x04\xc0\x00\x02\x01" +
		"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x27"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		var m Message
		if !m.Read(packet) {
			return
		}
		packed, counts, cut := m.Pack(nil, packet)
		for i, n := range counts {
			binary.BigEndian.PutUint16(packed[6+2*i:], n)
		}
		pointsAtNames(t, packed)
		if cut || m.Rcode > 15 {
			return
		}
		copy(packed, "\xff\xff")
		var again Message
		if !again.Read(packed) {
			t.Fatalf("what is kept of %x is refused: %x", packet, packed)
		}
		if again.Outcome != m.Outcome || again.TTL != m.TTL || again.Timed != m.Timed {
			t.Fatalf("%+v kept is %+v", m, again)
		}
		for at := again.starts[Answer]; at < len(packed); {
			var r Record
			at, _ = r.Read(packed, at)
			binary.BigEndian.PutUint32(packed[r.TTLAt:], 0x01410142)
		}
		repacked, countsAgain, _ := again.Pack(nil, packed)
		if countsAgain != counts || len(repacked) != len(packed) {
			t.Fatalf("%v of %v are kept: %x of %x", countsAgain, counts, repacked, packed)
		}
	})
}
