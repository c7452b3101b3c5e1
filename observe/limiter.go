package observe

import (
	"sync"
	"time"
)

// Limiter keeps a line that would be logged again and again to one in a while. The zero Limiter is ready; any number of goroutines may use it.
type Limiter struct {
	mu      sync.Mutex
	next    time.Time
	omitted int
}

// Allow reports whether the line is to be logged now, and how many were not since the last one. After it, none is for the time of pause.
func (l *Limiter) Allow(now time.Time, pause time.Duration) (omitted int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		l.omitted++
		return 0, false
	}
	omitted, l.omitted, l.next = l.omitted, 0, now.Add(pause)
	return omitted, true
}
