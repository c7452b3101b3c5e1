//go:build !linux

package stream

import (
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// Engine cannot ask here: whoever wants to finds another way.
type Engine struct{}

// Pool is the connections to one upstream.
type Pool struct {
	Options
	Mismatches atomic.Uint64
}

// Query is a query that waits for its reply.
type Query struct{}

// Takes reports false: nothing can be asked.
func (*Engine) Takes(*Pool, time.Time) bool { return false }

// Ask asks nothing.
func (*Engine) Ask(*Query, Asker, *Pool, Asked) datagram.Outcome { return datagram.Unable }

// Cancel has nothing to take back.
func (*Engine) Cancel(*Query) bool { return false }

// Alone has nothing to remember.
func (*Engine) Alone(*Pool, time.Time) {}

// Sweep has nothing to close.
func (*Engine) Sweep(*Pool, time.Time) {}

// Close has nothing to give up.
func (*Engine) Close(*Pool) {}

// Stop has nothing to wait for.
func (*Engine) Stop(*Pool) {}

// Count is that of nothing.
func (*Engine) Count(*Pool, time.Time) Counts { return Counts{} }
