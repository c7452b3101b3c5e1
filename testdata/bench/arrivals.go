//go:build linux

package main

import (
	"math/rand/v2"
	"time"
)

// arrivals is a Poisson process: the time from one query to the next is distributed exponentially and independent of everything
// else, as if very many clients asked now and then.
type arrivals struct {
	random *rand.Rand
	mean   float64 // nanoseconds between two
	at     float64 // of the last one, nanoseconds from the beginning
}

func newArrivals(rate float64, seed uint64) *arrivals {
	return &arrivals{random: rand.New(rand.NewPCG(seed, 0)), mean: float64(time.Second) / rate}
}

// next is when the next query is due, from the beginning.
func (a *arrivals) next() time.Duration {
	a.at += a.random.ExpFloat64() * a.mean
	return time.Duration(a.at)
}
