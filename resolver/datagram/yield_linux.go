package datagram

import (
	"time"
	_ "unsafe" // for go:linkname
)

// yieldTime must be so much less than the 10 ms after which sysmon preempts a goroutine that the next datagram of a dense
// stream comes before they are over.
const yieldTime = 4 * time.Millisecond

// Yield is called after each batch by a goroutine that waits in the kernel with its P. Once in yieldTime it lets the other
// goroutines of its P run and goes on. The scheduler, which knows nothing of the waits, then sees no goroutine that runs
// for long. One that does it preempts every 10 to 20 ms: it signals the thread, which wakes another thread to look for
// work; some forty times a second that was a fifth of all CPU at 2,000 queries a second.
func (p *Pace) Yield(now time.Time) {
	if now.Sub(p.yielded) >= yieldTime {
		p.yielded = now
		goyield()
	}
}

// goyield is runtime.Gosched without its price: the goroutine stays in the queue of its P, and no other thread is woken to
// look for work. The runtime keeps it for whoever links to it (https://go.dev/issue/67401).
//
//go:linkname goyield runtime.goyield
func goyield()
