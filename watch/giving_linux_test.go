package watch

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// BenchmarkGivingFlooded is how long a peer waits for the snapshot while another address opens connections as fast as it
// can, and how many it opens and peers are given nothing.
func BenchmarkGivingFlooded(b *testing.B) {
	p := Peers{SecretFile: secretFile(b, sharedSecret)}
	f, _ := filled(b)
	n := f.state.snapshots
	n.file.Peers = p
	address, _ := giving(b, n)
	var flooding sync.WaitGroup
	var opened atomic.Int64
	for range 8 {
		flooding.Go(func() {
			other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
			for b.Context().Err() == nil {
				if conn, err := other.DialContext(b.Context(), "tcp", address); err == nil {
					opened.Add(1)
					conn.(*net.TCPConn).SetLinger(0) // its port can be had again at once
					conn.Close()
				}
			}
		})
	}
	b.Cleanup(flooding.Wait)
	time.Sleep(2 * time.Second) // until there are as many waiting as may be
	a, failed, from, begun := asker(b, p, address), 0.0, opened.Load(), time.Now()
	for b.Loop() {
		if offer := a.askPeer(b.Context(), address); offer != nil {
			offer.Drop()
		} else {
			failed++
		}
		b.StopTimer()
		time.Sleep(addressPause / addressConns)
		b.StartTimer()
	}
	b.ReportMetric(failed/float64(b.N), "failed/op")
	b.ReportMetric(float64(opened.Load()-from)/time.Since(begun).Seconds(), "opened/s")
}
