package feed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/general"
)

// records reads lines of a zone file about example.org.
func records(t testing.TB, lines ...string) (all []dns.RR) {
	t.Helper()
	for _, line := range lines {
		parser := dns.NewZoneParser(strings.NewReader(line), "example.org.", "")
		rr, ok := parser.Next()
		if !ok {
			t.Fatalf("%s: %v", line, parser.Err())
		}
		all = append(all, rr)
	}
	return all
}

// The records of the tests.
const (
	soa1 = "@ 60 IN SOA ns host 1 2 1 5 60"
	soa2 = "@ 60 IN SOA ns host 2 2 1 5 60"
	soa3 = "@ 60 IN SOA ns host 3 2 1 5 60"
	ns   = "@ 60 IN NS ns"
	a    = "ns 60 IN A 192.0.2.1"
	b    = "ns 60 IN A 192.0.2.2"
	out  = "www.example.net. 60 IN A 192.0.2.3"
)

// stream is what a primary sends: messages of records.
type stream struct {
	messages [][]string
	change   func(*dns.Msg) // each message; nil for none
	raw      []byte         // behind the messages
}

// primary is a server that answers the next query of a transfer with a stream, and then closes. Until it has read the
// query it sends nothing.
func (s stream) primary(t testing.TB) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var answers [][]dns.RR
	for _, lines := range s.messages {
		answers = append(answers, records(t, lines...))
	}
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		c := &dns.Conn{Conn: conn}
		query, err := c.ReadMsg()
		if err != nil {
			return
		}
		for _, answer := range answers {
			reply := new(dns.Msg).SetReply(query)
			reply.Answer = answer
			if s.change != nil {
				s.change(reply)
			}
			if c.WriteMsg(reply) != nil {
				return
			}
		}
		conn.Write(s.raw)
	}()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// zoneOf is the zone of records, in any order.
func zoneOf(t testing.TB, lines ...string) *general.Zone {
	t.Helper()
	z, _, err := Parse(strings.NewReader(strings.Join(lines, "\n")+"\n"), "zone", "example.org.", nil)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestTransfers: what primaries may send, and what becomes of it.
func TestTransfers(t *testing.T) {
	whole := zoneOf(t, soa2, ns, a)
	for what, c := range map[string]struct {
		old     *general.Zone // nil to ask for the whole zone
		stream  stream
		want    *general.Zone
		changes bool
	}{
		"one message":                 {nil, stream{messages: [][]string{{soa2, ns, a, soa2}}}, whole, false},
		"a message for each record":   {nil, stream{messages: [][]string{{soa2}, {ns}, {a}, {soa2}}}, whole, false},
		"records twice":               {nil, stream{messages: [][]string{{soa2, ns, ns, a, soa2}}}, whole, false},
		"messages without a question": {nil, stream{messages: [][]string{{soa2}, {ns, a, soa2}}, change: func(m *dns.Msg) { m.Question = nil }}, whole, false},
		"all of it for IXFR":          {zoneOf(t, soa1, ns), stream{messages: [][]string{{soa2, ns, a, soa2}}}, whole, false},
		"nothing new":                 {whole, stream{messages: [][]string{{soa2}}}, whole, true},
		"one change":                  {zoneOf(t, soa1, ns, b), stream{messages: [][]string{{soa2, soa1, b, soa2, a, soa2}}}, whole, true},
		"a change in messages":        {zoneOf(t, soa1, ns, b), stream{messages: [][]string{{soa2}, {soa1}, {b}, {soa2}, {a}, {soa2}}}, whole, true},
		"two changes":                 {zoneOf(t, soa1, ns), stream{messages: [][]string{{soa3, soa1, soa2, a, soa2, a, soa3, b, soa3}}}, zoneOf(t, soa3, ns, b), true},
		"a change of nothing":         {zoneOf(t, soa1, ns, a), stream{messages: [][]string{{soa2, soa1, soa2, soa2}}}, whole, true},
		"a TTL":                       {zoneOf(t, soa1, ns, "ns 30 IN A 192.0.2.1"), stream{messages: [][]string{{soa2, soa1, "ns 30 IN A 192.0.2.1", soa2, a, soa2}}}, whole, true},
	} {
		z, changes, err := transfer(t.Context(), "example.org.", c.stream.primary(t), c.old)
		if err != nil || !z.Equal(c.want) || changes != c.changes {
			t.Errorf("%s: changes=%v, %v", what, changes, err)
		}
	}
}

// TestMalformedTransfers: none of these makes a zone, and none of them hangs or panics.
func TestMalformedTransfers(t *testing.T) {
	old := zoneOf(t, soa1, ns, a)
	header := func(change func(*dns.Msg)) stream {
		return stream{messages: [][]string{{soa2, ns, a, soa2}}, change: change}
	}
	for what, c := range map[string]struct {
		old    *general.Zone
		stream stream
	}{
		"nothing":                            {nil, stream{}},
		"octets that are no message":         {nil, stream{raw: []byte("HTTP/1.1 400 Bad Request\r\n\r\n")}},
		"an empty message":                   {nil, stream{raw: []byte{0, 0}}},
		"a header alone":                     {nil, stream{raw: append([]byte{0, 12}, make([]byte, 12)...)}},
		"the end of the stream in a message": {nil, stream{messages: [][]string{{soa2, ns}}, raw: []byte{1, 0, 7}}},
		"no last SOA":                        {nil, stream{messages: [][]string{{soa2, ns, a}}}},
		"a message without records":          {nil, stream{messages: [][]string{{soa2, ns}, {}, {soa2}}}},
		"no first SOA":                       {nil, stream{messages: [][]string{{ns, a, soa2}}}},
		"another SOA at the end":             {nil, stream{messages: [][]string{{soa2, ns, a, soa3}}}},
		"records behind the last SOA":        {nil, stream{messages: [][]string{{soa2, ns, soa2, a}}}},
		"a record of another zone":           {nil, stream{messages: [][]string{{soa2, ns, out, soa2}}}},
		"two aliases of one name":            {nil, stream{messages: [][]string{{soa2, "c 60 CNAME d", "c 60 CNAME e", soa2}}}},
		"a record without data":              {nil, stream{messages: [][]string{{soa2, `c 60 TYPE65280 \# 0`, `c 60 CNAME \# 0`, soa2}}}},
		"class CH":                           {nil, stream{messages: [][]string{{soa2, `c 60 CH TXT "x"`, soa2}}}},
		"another ID":                         {nil, header(func(m *dns.Msg) { m.Id++ })},
		"a query":                            {nil, header(func(m *dns.Msg) { m.Response = false })},
		"another opcode":                     {nil, header(func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify })},
		"REFUSED":                            {nil, header(func(m *dns.Msg) { m.Rcode = dns.RcodeRefused })},
		"SERVFAIL for IXFR":                  {old, header(func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure })},
		"another question":                   {nil, header(func(m *dns.Msg) { m.Question[0].Name = "example.net." })},
		"a deletion of what is not there":    {old, stream{messages: [][]string{{soa2, soa1, b, soa2, soa2}}}},
		"a change of another version":        {old, stream{messages: [][]string{{soa3, soa2, a, soa3, soa3}}}},
		"changes with a gap":                 {old, stream{messages: [][]string{{soa3, soa1, soa2, soa3, soa3, soa3}}}},
		"changes that leave out the last":    {old, stream{messages: [][]string{{soa3, soa1, soa2, b}}}},
		"an addition of another zone":        {old, stream{messages: [][]string{{soa2, soa1, soa2, out, soa2}}}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), messageTimeout/2)
		z, _, err := transfer(ctx, "example.org.", c.stream.primary(t), c.old)
		if err == nil || z != nil {
			t.Errorf("%s: taken", what)
		}
		if ctx.Err() != nil {
			t.Errorf("%s: it hangs: %v", what, err)
		}
		cancel()
	}
}

// TestTransferEndsWithItsContext: a primary that sends nothing does not hold up the end of the server.
func TestTransferEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.ReadFull(conn, make([]byte, 2)) // the query has come
		cancel()
		io.Copy(io.Discard, conn)
	}()
	if _, _, err := transfer(ctx, "example.org.", listener.Addr().(*net.TCPAddr).AddrPort(), nil); err == nil {
		t.Error("a transfer of nothing")
	}
}

// TestWhenPrimariesAreAsked: retries double until there is a zone; then its SOA record says when, but not more often than
// once a second; and at its EXPIRE it goes (RFC 1035 section 3.3.13).
func TestWhenPrimariesAreAsked(t *testing.T) {
	var log bytes.Buffer
	p := NewPrimary(PrimaryOptions{Zone: "example.org."}, &Gate{}, slog.New(slog.NewTextHandler(&log, nil)))
	failures, fault := 0, errors.New("away")
	for i, want := range []time.Duration{250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000} {
		if got := p.judge(fault, &failures); got != want*time.Millisecond {
			t.Errorf("try %d: again after %v, want %v ms", i, got, int(want))
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines for one reason", n)
	}
	p.Publish(zoneOf(t, "@ 60 IN SOA ns host 1 0 0 5 60"))
	if got := p.judge(nil, &failures); got != leastTimer {
		t.Errorf("REFRESH 0: again after %v", got)
	}
	if got := p.judge(fault, &failures); got != leastTimer {
		t.Errorf("RETRY 0: again after %v", got)
	}
	p.Publish(zoneOf(t, "@ 60 IN SOA ns host 1 7200 1800 86400 60"))
	if got := p.judge(nil, &failures); got != 2*time.Hour {
		t.Errorf("REFRESH: again after %v", got)
	}
	if got := p.judge(fault, &failures); got != 30*time.Minute {
		t.Errorf("RETRY: again after %v", got)
	}
	p.checked = time.Now().Add(-86390 * time.Second)
	if got := p.judge(fault, &failures); got > 10*time.Second || got < 5*time.Second {
		t.Errorf("10 s before EXPIRE: again after %v", got)
	}
	p.checked = time.Now().Add(-86401 * time.Second)
	if got := p.judge(fault, &failures); got != firstRetry || p.Zone() != nil || p.Counts().Transfers.Expired != 1 {
		t.Errorf("behind EXPIRE: again after %v, zone %v", got, p.Zone())
	}
}

// TestNotifyOfStrangers: a NOTIFY counts, and has an effect if it comes from a primary.
func TestNotifyOfStrangers(t *testing.T) {
	p := NewPrimary(PrimaryOptions{Zone: "example.org.", From: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:5353")}},
		&Gate{}, slog.New(slog.DiscardHandler))
	for range 100 {
		if p.Notify(netip.MustParseAddr("192.0.2.2")) {
			t.Fatal("taken from a stranger")
		}
	}
	if len(p.notified) != 0 {
		t.Error("a stranger has an effect")
	}
	for range 100 {
		if !p.Notify(netip.MustParseAddr("::ffff:192.0.2.1")) {
			t.Fatal("not taken from a primary")
		}
	}
	if c := p.Counts().Transfers; len(p.notified) != 1 || c.Foreign != 100 || c.Notifies != 100 {
		t.Errorf("%d checks are due, %+v", len(p.notified), c)
	}
}
