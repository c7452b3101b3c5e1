package zonefiles

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/general"
)

// hostile is a primary that misbehaves on its first connection, and has a zone on the next ones.
type hostile struct {
	listener net.Listener
	ended    chan int64 // octets that it could send before the secondary closed the first connection
}

func startHostile(t *testing.T, misbehave func(c *dns.Conn, query *dns.Msg)) hostile {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	h := hostile{listener, make(chan int64, 1)}
	go func() {
		for first := true; ; first = false {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			counting := &countingConn{Conn: conn}
			c := &dns.Conn{Conn: counting}
			query, err := c.ReadMsg()
			switch {
			case err != nil:
			case first:
				misbehave(c, query)
				io.Copy(io.Discard, conn) // until the secondary closes it
				h.ended <- counting.octets
			default:
				reply := new(dns.Msg).SetReply(query)
				reply.Answer = []dns.RR{soaOf(7), soaOf(7)}
				c.WriteMsg(reply)
			}
			conn.Close()
		}
	}()
	return h
}

func soaOf(serial uint32) dns.RR {
	rr, err := dns.NewRR("example.org. 60 IN SOA ns.example.org. host.example.org. 0 3600 3600 3600 60")
	if err != nil {
		panic(err)
	}
	rr.(*dns.SOA).Serial = serial
	return rr
}

// countingConn counts the octets that are written.
type countingConn struct {
	net.Conn
	octets int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.octets += int64(n)
	return n, err
}

// TestHostilePrimaries: whatever a primary sends ends in bounded time and memory, and the next transfer is taken.
func TestHostilePrimaries(t *testing.T) {
	large := &dns.RFC3597{Hdr: dns.RR_Header{Name: "large.example.org.", Rrtype: 65280, Class: dns.ClassINET, Ttl: 60},
		Rdata: strings.Repeat("00", 60_000)}
	for what, c := range map[string]struct {
		misbehave func(c *dns.Conn, query *dns.Msg)
		least     int64 // octets
		most      int64
		log       string
	}{
		"a zone without end": {func(c *dns.Conn, query *dns.Msg) {
			reply := new(dns.Msg).SetReply(query)
			reply.Answer = []dns.RR{soaOf(5)}
			err := c.WriteMsg(reply)
			packed, _ := dnsPack(query, large)
			for i := 0; err == nil; i++ {
				number := packed[len(packed)-8:] // each is another record
				for at := range number {
					number[at] = byte(i >> (8 * at))
				}
				_, err = c.Write(packed)
			}
		}, general.MostOctets, general.MostOctets + 32<<20, "the zone has more than"},
		"a message without its end": {func(c *dns.Conn, query *dns.Msg) {
			c.Conn.Write([]byte{4, 0, byte(query.Id >> 8), byte(query.Id)})
		}, 4, 4, "i/o timeout"},
		"silence": {func(*dns.Conn, *dns.Msg) {}, 0, 0, "i/o timeout"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := startHostile(t, c.misbehave)
			var log lockedBuffer
			p := feed.NewPrimary(feed.PrimaryOptions{Zone: "example.org.", From: []netip.AddrPort{
				h.listener.Addr().(*net.TCPAddr).AddrPort()}}, &feed.Gate{}, slog.New(slog.NewTextHandler(&log, nil)))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			changed := p.Changed()
			go p.Run(ctx)
			if octets := <-h.ended; octets < c.least || octets > c.most {
				t.Errorf("%d octets, want %d to %d", octets, c.least, c.most)
			}
			<-changed
			if z := p.Zone(); z == nil || z.Serial() != 7 || p.Counts().Failures != 1 || !strings.Contains(log.String(), c.log) {
				t.Errorf("%+v, log:\n%s", p.Counts(), log.String())
			}
		})
	}
}

// dnsPack is a reply with one record, as a message.
func dnsPack(query *dns.Msg, rr dns.RR) ([]byte, error) {
	reply := new(dns.Msg).SetReply(query)
	reply.Answer = []dns.RR{rr}
	return reply.Pack()
}

// lockedBuffer is a log that one goroutine writes and another reads.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
