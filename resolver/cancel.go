package resolver

import (
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// cancel bounds how long a query may take in all (directive cancel). What it waits for goes on without it, for the
// cache and for others.
type cancel struct {
	after     time.Duration
	cancelled atomic.Uint64
}

// limit bounds the query: the shortest time counts, if it goes through several blocks that have one.
func (c *cancel) limit(r *Request, _ *question) result {
	if r.limit == nil || r.limit.after > c.after {
		r.limit = c
	}
	return result{}
}

// cancelled is the message of a wait that has lasted for as long as its query may take.
var cancelled = momentary(wire.ServerFailure, wire.NoReachableAuthority, edeCancelled)

// left is for how long r may wait from now on.
func (r *Request) left() (d time.Duration, limited bool) {
	if r.limit == nil {
		return 0, false
	}
	return r.limit.after - time.Since(r.Now), true
}
