package listen

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// missing is a client that asks a server for names that it has to forward, each another one. Neither the client nor the
// upstream allocates anything.
type missing struct {
	conn   *net.UDPConn
	packet []byte
	count  uint32
}

func newMissing(t testing.TB) *missing {
	r, err := resolver.New(resolver.Options{Blocks: []resolver.Block{{
		Zones: []string{"."},
		Cache: &resolver.Cache{Zones: []string{"."}},
		Forwards: []resolver.Forward{{
			From: ".", To: []resolver.Upstream{{Address: echoing(t)}},
		}},
	}}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	l := serve(t, Options{Answerer: r, Blocks: []Block{{Zones: []string{"."}, Metrics: true}}})
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(l.Address()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	packet := append([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "\x0800000000\x07example\x03net\x00\x00\x01\x00\x01"...)
	return &missing{conn: conn, packet: packet}
}

// echoing is an upstream that gives each name an address.
func echoing(t testing.TB) netip.AddrPort {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		const record = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01" // 1 h, 192.0.2.1
		var room [512]byte
		for {
			n, from, err := conn.ReadFromUDPAddrPort(room[:])
			if err != nil {
				return
			}
			at, _ := wire.SkipName(room[:n], wire.HeaderSize)
			reply := append(room[:at+4], record...)
			reply[2], reply[3], reply[7], reply[11] = 0x81, 0x80, 1, 0 // without OPT
			_, _ = conn.WriteToUDPAddrPort(reply, from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ask asks so many questions at a time, and takes the replies.
func (m *missing) ask(t testing.TB, window int) {
	var room [512]byte
	for range window {
		m.count++
		binary.BigEndian.PutUint16(m.packet, uint16(m.count))
		for i := range 8 {
			m.packet[wire.HeaderSize+1+i] = "0123456789abcdef"[m.count>>(4*i)&15]
		}
		if _, err := m.conn.Write(m.packet); err != nil {
			t.Fatal(err)
		}
	}
	for range window {
		if n, err := m.conn.Read(room[:]); err != nil || n < len(m.packet)+16 || room[3]&15 != 0 {
			t.Fatalf("%v: %x", err, room[:n])
		}
	}
}

// mostOfMiss is what a miss may leave on the heap on average: its entry in the cache, with the name and the message, and
// its part of the upstream's sockets.
const mostOfMiss = 10

// TestMissesAllocateLittle: what a query needs only while it waits is used again by others.
func TestMissesAllocateLittle(t *testing.T) {
	m := newMissing(t)
	const window, rounds = 8, 200
	for range rounds {
		m.ask(t, window)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		m.ask(t, window)
	}
	runtime.ReadMemStats(&after)
	allocated := float64(after.Mallocs-before.Mallocs) / (window * rounds)
	t.Logf("%.1f allocations for each miss, %d octets", allocated, (after.TotalAlloc-before.TotalAlloc)/(window*rounds))
	if allocated > mostOfMiss {
		t.Errorf("%.1f allocations for each miss, want %d at most", allocated, mostOfMiss)
	}
}

// BenchmarkMiss is a forwarded query from socket to socket, with a client and an upstream in the same process.
func BenchmarkMiss(b *testing.B) {
	m := newMissing(b)
	b.ReportAllocs()
	for b.Loop() {
		m.ask(b, 1)
	}
}
