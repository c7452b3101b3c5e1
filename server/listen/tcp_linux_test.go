package listen

import (
	"context"
	"io"
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// Connections that the kernel has made, and nobody has accepted, when a listener ends: what they ask is answered, and
// they end in order.
func TestQueuedConnectionsAreServed(t *testing.T) {
	l, err := Open(Options{Address: netip.MustParseAddrPort("127.0.0.1:0"), Answerer: newScripted(), Blocks: testBlocks})
	if err != nil {
		t.Fatal(err)
	}
	slow, quick := dialTCP(t, l), dialTCP(t, l)
	quick.Conn.Write(framed("hit.example.", "miss.example."))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() { l.Run(ctx); close(done) }()
	answered := func(conn *dns.Conn, replies int) {
		t.Helper()
		for range replies {
			if reply, err := conn.ReadMsg(); err != nil || len(reply.Answer) != 1 {
				t.Errorf("%v %v", reply, err)
			}
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection did not end: %v", err)
		}
	}
	answered(quick, 2)
	slow.Conn.Write(framed("hit.example."))
	answered(slow, 1)
	<-done
}
