//go:build linux

package main

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// silentAfter answers as the echo, but from the n-th query on not at all.
func silentAfter(t *testing.T, n int) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 512)
		for i := 0; ; i++ {
			n2, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if i < n {
				conn.WriteTo(echoReply(buffer[:n2:n2]), from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func someMessages(t *testing.T) [][]byte {
	t.Helper()
	data, err := question{"example.net.", dns.TypeA}.message(false).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{data}
}

func TestOpenLoop(t *testing.T) {
	for _, sockets := range []int{1, 4, 100} {
		l, err := openLoop(silentAfter(t, 1_000_000), sockets, false, someMessages(t), 2000, 100*time.Millisecond, 1)
		if err != nil {
			t.Fatal(err)
		}
		if l.sent < 100 || l.sent > 400 || l.lost != 0 || l.p50 <= 0 || l.p50 > l.p99 || l.p99 > l.p999 {
			t.Errorf("%d sockets: %+v", sockets, l)
		}
	}
}

// TestOpenLoopLost: what is not answered is lost, and the generator goes on asking.
func TestOpenLoopLost(t *testing.T) {
	const answered = 10
	l, err := openLoop(silentAfter(t, answered), 4, false, someMessages(t), 2000, 50*time.Millisecond, 1)
	if err != nil {
		t.Fatal(err)
	}
	if l.sent < 50 || l.sent-l.lost != answered {
		t.Errorf("%+v, want %d answers", l, answered)
	}
}

// TestOpenLoopFromDue: the latency counts from when a query was due. A generator that has been held up, here by a beginning in
// the past, must not report less than that.
func TestOpenLoopFromDue(t *testing.T) {
	g, err := newGenerator(silentAfter(t, 1), 1, false, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	const held = time.Second
	if err := g.send(someMessages(t)[0], 0, wallClock()-int64(held)); err != nil {
		t.Fatal(err)
	}
	for g.waiting > 0 {
		if err := g.receive(int64(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if l := g.sum(1, 1); l.p50 < held || l.late < held {
		t.Errorf("%+v, want at least %v", l, held)
	}
}

func TestOpenLoopTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go acceptAll(listener)
	l, err := openLoop(listener.Addr().(*net.TCPAddr).AddrPort(), 4, true, someMessages(t), 2000, 100*time.Millisecond, 1)
	if err != nil {
		t.Fatal(err)
	}
	if l.sent < 100 || l.lost != 0 || l.p50 <= 0 {
		t.Errorf("%+v", l)
	}
}

// TestStreamMessages cuts two messages at each place: both come out whole, once.
func TestStreamMessages(t *testing.T) {
	const sent = "\x00\x03one\x00\x00\x00\x05three"
	for first := range len(sent) {
		var s stream
		var got []string
		for _, part := range []string{sent[:first], sent[first:]} {
			for message := range s.messages([]byte(part)) {
				got = append(got, string(message))
			}
		}
		if !slices.Equal(got, []string{"one", "", "three"}) || len(s.rest) > 0 {
			t.Errorf("cut at %d: %q, rest %q", first, got, s.rest)
		}
	}
}
