package device

import (
	"net"
	"net/netip"
	"testing"
)

// TestListens: a socket that waits for clients counts, one that asks does not.
func TestListens(t *testing.T) {
	for _, text := range []string{"127.0.0.77", "::1"} {
		address := netip.MustParseAddr(text)
		if text != "::1" && listens(address) {
			t.Fatalf("somebody has %v", address)
		}
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, 0)))
		if err != nil {
			t.Fatal(err)
		}
		if !listens(address) {
			t.Errorf("the UDP socket of %v is not seen", address)
		}
		udp.Close()
	}
	address := netip.MustParseAddr("127.0.0.78")
	tcp, err := net.Listen("tcp", "127.0.0.78:0")
	if err != nil {
		t.Fatal(err)
	}
	if !listens(address) {
		t.Error("the TCP socket is not seen")
	}
	asking := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 79)}}
	client, err := asking.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tcp.Close()
	if listens(address) || listens(netip.MustParseAddr("127.0.0.79")) {
		t.Error("a connection counts as a socket that waits")
	}
}

// TestLock: the second to ask waits for the first.
func TestLock(t *testing.T) {
	unlock := lockMachine()
	got := make(chan struct{})
	go func() {
		defer close(got)
		lockMachine()()
	}()
	select {
	case <-got:
		t.Error("two have the lock")
	default:
	}
	unlock()
	<-got
}
