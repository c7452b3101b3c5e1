package observe

import (
	"sync"
	"time"
)

// Limiter lets a repeated log line through once in a while. The zero Limiter is ready to use; any number of goroutines
// may use it.
type Limiter struct {
	mu      sync.Mutex
	next    time.Time
	omitted int
}

// Allow reports whether to log the line now, and how many lines it has held back since the last one. Then it allows no
// line until pause has passed.
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
