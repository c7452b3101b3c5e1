package resolver

import (
	"context"
	"sync"
	"time"
)

// wanted counts a hit and reports whether to fetch the entry again: because it is stale, or because it is popular and
// soon will be.
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
		part := e.holds * time.Duration(c.options.PrefetchAt) / 100
		soon := max((part + time.Second - 1).Truncate(time.Second), time.Second) // whole seconds, as TTLs are
		return c.options.Prefetch > 0 && int(e.hits) >= c.options.Prefetch && left <= soon
	}
	return found == stale
}

// refresh is an entry to fetch again, over TCP if the query that says so has come over TCP. CoreDNS refreshes over TCP
// alone, and so nothing where an upstream takes UDP only.
type refresh struct {
	*entry
	tcp      bool
	observer *observer
}

// refresh hands e to run. If too many entries wait already, a later hit tries again.
func (c *cache) refresh(s *shard, e refresh) {
	select {
	case c.refreshes <- e:
		e.refreshing = true
		s.counts.Prefetches++
	default:
	}
}

// run fetches again the entries that refresh hands over, until ctx ends.
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
				if m := c.fetch(ctx, e.again(), e.observer); ctx.Err() == nil {
					c.add(e.again(), e.policy, m, time.Now())
				}
				k := e.query.cacheKey()
				s, _ := c.shardOf(&k)
				s.mu.Lock()
				e.refreshing = false
				s.mu.Unlock()
			})
		}
	}
}

// again is the query that fetches the entry again.
func (e refresh) again() query {
	q := e.query
	q.rd, q.tcp = true, e.tcp
	return q
}
