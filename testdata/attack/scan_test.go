package attack

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestScan: a client asks for names that nobody asks for twice, of a zone that answers them all. What is lost are hits:
// questions for 300 good names that had been asked for before and yet had to be asked upstream again.
func TestScan(t *testing.T) {
	const good = 300
	rate := size(3000, 20_000) // names a second
	z := newZone(t)
	corefile := fmt.Sprintf(".:$DNS {\n bind 127.0.0.1\n cache 3600 {\n  success %d\n }\n forward . %s\n}\n",
		size(1000, 9984), z.conn.LocalAddr())
	attack{
		name:      fmt.Sprintf("%d new names a second, hits of %d good ones", rate, good),
		corefile:  corefile,
		tolerated: 50,
		run: func(t *testing.T, s *server) *honest {
			askGood := func(ctx context.Context, i int) error {
				return ask(ctx, "udp", s.dns, fmt.Sprintf("%d.good.test.", i%good), dns.TypeA)
			}
			for i := range 2 * good {
				if err := askGood(t.Context(), i); err != nil {
					t.Fatal(err)
				}
			}
			known, before := z.good.Load(), z.all.Load()
			ctx, stop := context.WithCancel(t.Context())
			wait := scan(ctx, t, s.dns, rate)
			began := time.Now()
			h := s.honest(ctx, size(600, 6000), 2*time.Millisecond, askGood)
			took := time.Since(began)
			stop()
			wait()
			t.Logf("upstream was asked for %.0f names a second; of %d honest queries %d had no answer (%v)",
				float64(z.all.Load()-before)/took.Seconds(), h.asked, h.lost, h.first)
			return &honest{asked: h.asked - h.lost, lost: int(z.good.Load() - known),
				first: fmt.Errorf("asked upstream again")}
		},
	}.try(t)
}

// scan sends rate queries a second from an address of its own, each for a new name, until ctx ends, and reads the
// replies. The returned function waits for its end.
func scan(ctx context.Context, t *testing.T, server string, rate int) (wait func()) {
	t.Helper()
	from := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := from.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	var ends sync.WaitGroup
	ends.Go(func() {
		reply := make([]byte, 2048)
		for ctx.Err() == nil {
			conn.Read(reply) // an error is the end of ctx, or a server that is away for the moment
		}
	})
	ends.Go(func() {
		began := time.Now()
		for sent := 0; ctx.Err() == nil; {
			for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
				m := new(dns.Msg).SetQuestion(fmt.Sprintf("%d.scan.test.", sent), dns.TypeA)
				if packet, err := m.Pack(); err == nil {
					conn.Write(packet)
				}
			}
			pause(ctx, time.Millisecond)
		}
	})
	return ends.Wait
}

// zone is a name server on loopback that answers every query with 192.0.2.1 and counts those for names below good.test.
type zone struct {
	conn      net.PacketConn
	all, good atomic.Int64
}

func newZone(t *testing.T) *zone {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{conn: conn}
	ended := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-ended })
	go func() {
		defer close(ended)
		packet := make([]byte, 2048)
		for {
			n, client, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			question := bytes.IndexByte(packet[min(12, n):n], 0) + 12 + 5
			if question > n {
				continue
			}
			z.all.Add(1)
			if bytes.Contains(packet[12:question], []byte("\x04good\x04test")) {
				z.good.Add(1)
			}
			reply := append([]byte(nil), packet[:question]...)
			copy(reply[2:], "\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00")
			reply = append(reply, "\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01"...)
			conn.WriteTo(reply, client)
		}
	}()
	return z
}
