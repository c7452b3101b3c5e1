package listen

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe/traffic"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestTraffic: each query is counted once, with its name and client, however it came and whether it waited. Nothing is
// counted while it is off.
func TestTraffic(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		counting := traffic.New()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { counting.Run(ctx); close(done) }()
		t.Cleanup(func() { cancel(); <-done })
		l := serve(t, Options{Answerer: newScripted(), engine: engine, Traffic: counting})
		exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
		counting.Set(true)
		var tail *traffic.Tail
		for began := time.Now(); tail == nil; time.Sleep(time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatal("counting does not begin")
			}
			tail = counting.Follow(traffic.Filter{Rcode: -1})
		}
		for _, network := range []string{"udp", "tcp"} {
			for _, name := range []string{"hit.example.", "miss.example."} {
				exchange(t, network, l.Address(), name, dns.TypeA)
				var s traffic.Sample
				select {
				case s = <-tail.C:
				case <-time.After(time.Minute):
					t.Fatalf("%s over %s is not counted", name, network)
				}
				got := fmt.Sprintf("%q %v %v %d %d", s.Name(), s.Client.Addr(), s.TCP, s.Type, s.Rcode)
				want := fmt.Sprintf("%q 127.0.0.1 %v 1 0", wireName(t, name), network == "tcp")
				if got != want || s.Took <= 0 || s.Weight != 1 {
					t.Errorf("%s, took %v, weight %d, want %s", got, s.Took, s.Weight, want)
				}
			}
		}
	})
}

func wireName(t *testing.T, name string) []byte {
	octets, err := wire.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}
