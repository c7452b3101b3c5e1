package datagram

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestWheel: whatever is added and removed in whatever order, each thing that stays fires once, not before its time and
// at most a tick after it, if the wheel is looked at when it says so.
func TestWheel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w wheel
		now, waiting := time.Duration(r.Int64N(int64(time.Hour))), map[*timed]bool{}
		for range 300 {
			switch at, more := w.next(); {
			case r.IntN(3) > 0 || !more:
				add := &timed{}
				w.add(add, now+time.Duration(r.Int64N(int64(6*time.Second))), now)
				waiting[add] = true
			case r.IntN(4) == 0:
				for one := range waiting {
					w.remove(one)
					w.remove(one)
					delete(waiting, one)
					break
				}
			default:
				now = max(now, at)
				for _, one := range w.expire(now) {
					if !waiting[one] || one.at > now {
						t.Fatalf("seed %d: fired twice or %v early", seed, one.at-now)
					}
					delete(waiting, one)
				}
				for one := range waiting {
					if now-one.at >= tick {
						t.Fatalf("seed %d: %v late", seed, now-one.at)
					}
				}
			}
		}
		for at, more := w.next(); more; at, more = w.next() {
			for _, one := range w.expire(at) {
				delete(waiting, one)
			}
		}
		if len(waiting) > 0 || w.count != 0 {
			t.Fatalf("seed %d: %d never fired, count %d", seed, len(waiting), w.count)
		}
	}
}
