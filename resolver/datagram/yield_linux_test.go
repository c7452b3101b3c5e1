package datagram

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestYield: what waits for the P runs before a yield returns, and there is one only from time to time.
func TestYield(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var p Pace
	var ran atomic.Bool
	go ran.Store(true)
	now := time.Now()
	p.Yield(now)
	if !ran.Load() {
		t.Error("the goroutine that waited has not run")
	}
	p.Yield(now.Add(yieldTime - 1))
	if !p.yielded.Equal(now) {
		t.Error("it has yielded again at once")
	}
	if p.Yield(now.Add(yieldTime)); p.yielded.Equal(now) {
		t.Error("it has not yielded again")
	}
}
