package observe

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Panics counts the panics that goroutines have recovered from, and logs at most one a second: the packet that causes
// them may come in floods. The zero Panics is ready to use; any number of goroutines may use it.
type Panics struct {
	total  atomic.Uint64
	logged Limiter
}

// Count counts a panic with this cause. The deferred function that has recovered from it calls Count, so that the stack
// in the log is that of the panic.
func (p *Panics) Count(log *slog.Logger, where string, cause any) {
	p.total.Add(1)
	if omitted, ok := p.logged.Allow(time.Now(), time.Second); ok {
		log.Error(where+": recovered from a panic: "+fmt.Sprint(cause), "omitted", omitted, "stack", string(debug.Stack()))
	}
}

// CountServer counts a panic of what listens on an address, and logs it in CoreDNS's words. traced has the stack below
// the line.
func (p *Panics) CountServer(log *slog.Logger, address string, cause any, traced bool) {
	p.total.Add(1)
	omitted, ok := p.logged.Allow(time.Now(), time.Second)
	if !ok {
		return
	}
	text := fmt.Sprintf("Recovered from panic in server: %q %v", address, cause)
	if omitted > 0 {
		text += fmt.Sprintf(" (and %d more)", omitted)
	}
	if traced {
		text += "\n" + string(debug.Stack())
	}
	log.Error(text)
}

// Survive recovers from a panic of the function that defers it, and counts that.
func (p *Panics) Survive(log *slog.Logger, where string) {
	if cause := recover(); cause != nil {
		p.Count(log, where, cause)
	}
}

// Total is the number of panics so far.
func (p *Panics) Total() uint64 { return p.total.Load() }
