package main

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestScaled(t *testing.T) {
	for services, want := range map[int]int{100: 1_550, 10_000: 155_000, 100_000: 305_000} {
		s := scaled(services)
		endpoints := s.headless*s.headlessEndpoints + s.clusterIP*s.clusterIPEndpoints
		if s.services() != services || endpoints != want {
			t.Errorf("%d services with %d endpoints, want %d with %d", s.services(), endpoints, services, want)
		}
	}
}

// TestNdots5 holds the mix to the shares of its name.
func TestNdots5(t *testing.T) {
	random, counts := rand.New(rand.NewPCG(1, 2)), map[string]float64{}
	for range 10_000 {
		name, qtype, _ := strings.Cut(scaled(1000).ndots5(random), " ")
		if strings.HasPrefix(name, "www") {
			qtype = "NXDOMAIN"
		}
		counts[qtype] += 0.01
	}
	for qtype, want := range map[string]float64{"NXDOMAIN": 60, "A": 20, "AAAA": 15, "SRV": 3, "PTR": 2} {
		if got := counts[qtype]; got < want-2 || got > want+2 {
			t.Errorf("%.1f %% %s, want %.0f", got, qtype, want)
		}
	}
}
