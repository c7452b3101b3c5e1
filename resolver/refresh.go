package resolver

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// wanted counts a hit and reports whether the entry should be fetched again: it is stale, or popular and soon to be.
func (c *cache) wanted(e *entry, found freshness, now time.Time) bool {
	if c.options.Prefetch > 0 {
		if now.Sub(e.seen) >= c.options.PrefetchFor {
			e.hits = 0
		}
		e.seen = now
		e.hits++
	}
	if e.kind == upstreamFailure || e.refreshing || now.Before(e.retry) {
		return false
	}
	if found == fresh {
		left := e.holds - now.Sub(e.stored)
		return c.options.Prefetch > 0 && e.hits >= c.options.Prefetch && left <= max(e.holds*time.Duration(c.options.PrefetchAt)/100, time.Second)
	}
	return found == stale
}

// refresh hands e to run; when too many wait already, a later hit will.
func (c *cache) refresh(s *shard, e *entry) {
	select {
	case c.refreshes <- e:
		e.refreshing = true
		s.counts.Prefetches++
	default:
	}
}

// run fetches entries again that get found worth it, until ctx ends.
func (c *cache) run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	slots := make(chan struct{}, refreshLimit)
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.refreshes:
			slots <- struct{}{}
			workers.Go(func() {
				defer func() { <-slots }()
				if m := c.fetch(ctx, e.refreshQuery()); ctx.Err() == nil {
					c.add(e.refreshQuery(), e.policy, m, time.Now())
				}
				s, _ := c.shardOf(maphash.String(c.seed, e.name), e.do, e.cd)
				s.mu.Lock()
				e.refreshing = false
				s.mu.Unlock()
			})
		}
	}
}

// asked is the query an entry answers; an NXDOMAIN is asked for as an address.
func (e *entry) refreshQuery() query {
	q := e.query
	if q.typ == 0 {
		q.typ = wire.TypeA
	}
	q.rd = true
	return q
}
