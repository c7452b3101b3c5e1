package watch

import (
	"net"
	"testing"
)

// TestGivingIsShared has one address open as many connections as there may be, and say nothing: a peer at another address
// is given the snapshot when it asks the first time.
func TestGivingIsShared(t *testing.T) {
	p := Peers{SecretFile: secretFile(t, sharedSecret)}
	f, _ := filled(t)
	n := f.state.snapshots
	n.file.Peers = p
	address, stop := giving(t, n)
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range PeerConns {
		conn, err := other.DialContext(t.Context(), "tcp", address)
		must(t, err)
		defer conn.Close()
	}
	offer := asker(t, p, address).askPeer(t.Context(), address)
	if offer == nil {
		t.Fatal("the peer is given nothing")
	}
	offer.Drop()
	stop()
	c := n.counters.Given
	if c[GivenWhole] != 1 || c[GivenCrowded] != PeerConns-addressConns || c[GivenSilent] != addressConns {
		t.Errorf("%v", c)
	}
}
