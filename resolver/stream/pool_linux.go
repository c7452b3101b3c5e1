package stream

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pause is how long an upstream is asked one query at a time after it was seen to take no more: long, because finding
	// that out delays queries, and not for ever, because servers are replaced. For as long, a reply that came out of order
	// proves that it takes several.
	pause = 5 * time.Minute

	// earlyAnswers is how many answers a connection has at least had that ends because its time, or its number of queries,
	// is over. One that ends before with queries behind others may be that of a server that takes one query at a time (RFC
	// 7766 section 6.2.1 lets it).
	earlyAnswers = 16
)

// Pool is the connections to one upstream. The engine's mutex guards what follows Mismatches. A query goes to the first
// connection that has room; there is another one only where none has, or none gets ahead.
type Pool struct {
	Options
	Mismatches atomic.Uint64 // replies to no query, ignored

	conns   []*conn
	alone   time.Time      // until then queries are for others to ask
	quota   int            // queries that one connection takes, as dnsmasq's 100; 0 for any number
	counted time.Time      // when that was found out
	proven  time.Time      // when the last reply came out of order
	closed  bool           // a connection is kept for its queries alone
	stopped bool           // nothing is asked any more
	wg      sync.WaitGroup // goroutines that connect, and that tell of failures; those begin under the mutex, before stopped
}

func (p *Pool) takes(now time.Time) bool {
	return !p.stopped && p.Receiver != nil && !now.Before(p.alone)
}

// sure reports whether the upstream is known to take several queries at a time.
func (p *Pool) sure(now time.Time) bool { return now.Sub(p.proven) < pause }

// suspect has the upstream asked one query at a time for a while.
func (p *Pool) suspect(now time.Time) {
	if !p.sure(now) {
		p.alone = now.Add(pause)
	}
}

// learn notes that a connection has ended after so many answers, with others to come.
func (p *Pool) learn(answers int, now time.Time) { p.quota, p.counted = answers, now }

// full reports whether a connection that has been given so many queries takes no more.
func (p *Pool) full(given int, now time.Time) bool {
	return p.quota > 0 && given >= p.quota && now.Sub(p.counted) < pause
}

// choose is the connection for one more query, a new one if there is none that gets ahead; nil if there is none to be had.
func (e *Engine) choose(p *Pool, now time.Time) (best *conn) {
	open := 0
	for _, c := range p.conns {
		if c.retired || p.over(c, now) {
			continue
		}
		open++
		if c.load+c.gone >= Depth {
			continue
		}
		if !c.stalls(now) {
			p.Used(true)
			return c
		}
		if best == nil || c.load < best.load {
			best = c
		}
	}
	if open < MostConns && len(p.conns) < MostAll && p.Receiver.Running() {
		p.Used(false)
		return e.connect(p, now)
	}
	if best != nil {
		p.Used(true)
	}
	return best
}

// over reports whether the connection takes no query at now, because it has been idle for too long, is too old, or has had
// all that the server takes on one.
func (p *Pool) over(c *conn, now time.Time) bool {
	return c.connected && c.load == 0 && now.Sub(c.since) >= p.Expire || p.MaxAge > 0 && now.Sub(c.made) >= p.MaxAge ||
		p.full(c.given, now)
}

// connect begins to connect.
func (e *Engine) connect(p *Pool, now time.Time) *conn {
	ctx, cancel := context.WithTimeout(context.Background(), p.Timeout)
	c := &conn{engine: e, pool: p, cancel: cancel, made: now, since: now, tickets: map[uint16]ticket{}}
	c.timer = time.AfterFunc(time.Hour, c.expire)
	c.timer.Stop()
	p.conns = append(p.conns, c)
	p.wg.Go(func() { c.open(ctx) })
	return c
}

// trim ends the connection that has been idle longest where there are too many of them.
func (p *Pool) trim() {
	var oldest *conn
	idle := 0
	for _, c := range p.conns {
		if !c.connected || c.load > 0 {
			continue
		}
		if idle++; oldest == nil || c.since.Before(oldest.since) {
			oldest = c
		}
	}
	if idle > p.MaxIdle {
		oldest.end()
	}
}

// Sweep ends connections that have expired at now.
func (e *Engine) Sweep(p *Pool, now time.Time) {
	e.mu.Lock()
	defer e.unlock()
	for _, c := range slices.Clone(p.conns) {
		if p.over(c, now) {
			c.retire(now)
		}
	}
}

// Close ends the connections of an upstream that is not asked any more, those in use with their last query.
func (e *Engine) Close(p *Pool) {
	e.mu.Lock()
	defer e.unlock()
	p.closed = true
	for _, c := range slices.Clone(p.conns) {
		c.retire(time.Now())
	}
}

// Stop ends all connections at once, and returns when all goroutines have ended.
func (e *Engine) Stop(p *Pool) {
	e.mu.Lock()
	p.closed = true
	for _, c := range slices.Clone(p.conns) {
		c.abort(errClosed)
	}
	e.tellAll(p)
	p.stopped = true
	e.unlock()
	p.wg.Wait()
}

// Count is what there is at now.
func (e *Engine) Count(p *Pool, now time.Time) Counts {
	e.mu.Lock()
	defer e.mu.Unlock()
	counts := Counts{Conns: len(p.conns), Alone: now.Before(p.alone)}
	for _, c := range p.conns {
		counts.Queries += c.load
	}
	return counts
}
