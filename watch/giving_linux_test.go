package watch

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sharing is a side that gives its snapshot to those that know the secret.
func sharing(t testing.TB) (n *snapshots, address string, stop func()) {
	t.Helper()
	f, _ := filled(t)
	n = f.state.snapshots
	n.file.Peers.SecretFile = secretFile(t, sharedSecret)
	address, stop = giving(t, n)
	return n, address, stop
}

// TestGivingIsShared has one address open as many connections as there may be, and say nothing: a peer at another address
// is given the snapshot when it asks the first time.
func TestGivingIsShared(t *testing.T) {
	n, address, stop := sharing(t)
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	for range PeerConns {
		conn, err := other.DialContext(t.Context(), "tcp", address)
		must(t, err)
		defer conn.Close()
	}
	offer := asker(t, n.file.Peers, address).askPeer(t.Context(), address)
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

// TestGivingKeepsThePlace has a peer be given the snapshot while more connections come that say nothing than there are places.
func TestGivingKeepsThePlace(t *testing.T) {
	n, address, stop := sharing(t)
	peer, err := net.Dial("tcp", address)
	must(t, err)
	defer peer.Close()
	n.state.mu.Lock() // so that the snapshot is not given yet
	fmt.Fprintf(peer, "GET %s HTTP/1.1\r\nHost: peer\r\nAuthorization: %s%s\r\n\r\n", snapshotPath, bearer, sharedSecret)
	for len(n.giving) == 0 {
		time.Sleep(time.Millisecond)
	}
	var silent []net.Conn
	for i := range PeerConns + addressConns {
		other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i/addressConns))}}
		conn, err := other.DialContext(t.Context(), "tcp", address)
		must(t, err)
		defer conn.Close()
		silent = append(silent, conn)
	}
	for _, conn := range silent[:addressConns+1] {
		conn.Read(make([]byte, 1)) // until it is closed
	}
	n.state.mu.Unlock()
	reply, err := io.ReadAll(peer)
	if stop(); err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 200 ") || n.counters.Given[GivenWhole] != 1 {
		t.Errorf("%v, %.100q, %v", err, reply, n.counters.Given)
	}
}

// BenchmarkGivingFlooded is how long a peer waits for the snapshot while another address opens connections as fast as it
// can, and how many it opens and peers are given nothing.
func BenchmarkGivingFlooded(b *testing.B) {
	n, address, _ := sharing(b)
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
	from, begun := opened.Load(), time.Now()
	ask(b, n.file.Peers, address)
	b.ReportMetric(float64(opened.Load()-from)/time.Since(begun).Seconds(), "opened/s")
}

// BenchmarkGivingSilent is how long a peer waits for the snapshot while other addresses have as many connections as they may, say
// nothing, and come again when one is closed, and how many peers are given nothing.
func BenchmarkGivingSilent(b *testing.B) {
	for _, addresses := range []int{4, 8, 16} {
		b.Run(strconv.Itoa(addresses), func(b *testing.B) {
			n, address, _ := sharing(b)
			var silent sync.WaitGroup
			for i := range addressConns * addresses {
				silent.Go(func() {
					other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i/addressConns))}}
					for b.Context().Err() == nil {
						if conn, err := other.DialContext(b.Context(), "tcp", address); err == nil {
							conn.Read(make([]byte, 1))
							conn.Close()
						}
					}
				})
			}
			b.Cleanup(silent.Wait)
			time.Sleep(2 * time.Second)
			ask(b, n.file.Peers, address)
		})
	}
}

// ask has a peer ask for the snapshot, as often as the benchmark does, and reports how often it is given nothing.
func ask(b *testing.B, p Peers, address string) {
	a, failed := asker(b, p, address), 0.0
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
}
