//go:build linux

package main

import (
	"math"
	"testing"
	"time"
)

// TestArrivals holds the generator to what makes a process one of Poisson: the mean of the gaps is that of the rate, their
// standard deviation is as large, and the number in equal windows varies as much as its mean.
func TestArrivals(t *testing.T) {
	const rate, seconds = 10_000, 100
	a := newArrivals(rate, 1)
	var gaps []float64
	windows := make([]float64, seconds*10)
	last := time.Duration(0)
	for {
		at := a.next()
		if at >= seconds*time.Second {
			break
		}
		if at < last {
			t.Fatalf("%v comes after %v", at, last)
		}
		gaps = append(gaps, (at - last).Seconds())
		windows[at/(100*time.Millisecond)]++
		last = at
	}
	mean, deviation := moments(gaps)
	if !near(mean, 1.0/rate, 0.01) || !near(deviation, 1.0/rate, 0.01) {
		t.Errorf("gaps are %v, deviation %v; want %v for both", mean, deviation, 1.0/rate)
	}
	count, spread := moments(windows)
	if !near(count, rate/10, 0.01) || !near(spread*spread, count, 0.1) {
		t.Errorf("%v in a window, variance %v; want %v for both", count, spread*spread, rate/10)
	}
}

func TestArrivalsRepeat(t *testing.T) {
	a, b, other := newArrivals(1000, 7), newArrivals(1000, 7), newArrivals(1000, 8)
	x, y, z := a.next(), b.next(), other.next()
	if x != y || x == z {
		t.Errorf("the same seed gives %v and %v, another one %v", x, y, z)
	}
}

func moments(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / float64(len(values))
	}
	return mean, math.Sqrt(deviation)
}

func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance*want }
