package resolver

import (
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// kind is what an entry says. The first two are the halves of the cache that have their own limits; broken live with the denials.
type kind uint8

const (
	success kind = iota
	denial
	upstreamFailure // a failure of upstream
)

// freshness is what a lookup found.
type freshness uint8

const (
	miss            freshness = iota
	fresh                     // within its TTL
	stale                     // behind it, to be served now
	staleUnverified           // behind it, to be served when upstream does not answer
)

// entry is a message kept for the questions it answers. What is above the line never changes.
type entry struct {
	*message
	query
	kind   kind
	policy cachePolicy // what is kept of the name
	stored time.Time
	holds  time.Duration // how long it is fresh

	// Guarded by the shard's mutex.
	seen       time.Time // the last lookup that found it
	hits       int       // lookups without a gap of PrefetchFor
	refreshing bool
	retry      time.Time // not refreshed before
}

func (e *entry) size() int { return e.message.size() + entryOverhead }

// is tells an entry from another one with the same key.
func (e *entry) is(k *cacheKey, typ wire.Type) bool {
	return e.query.typ == typ && e.do == k.do && e.cd == k.cd && e.name == string(k.name)
}

// place is where an entry is kept.
func (e *entry) place(nameHash, typeHash uint64) (half kind, at uint64) {
	switch {
	case e.kind == success:
		return success, typeHash
	case e.kind == upstreamFailure:
		return denial, typeHash ^ failureSalt
	case e.query.typ == 0:
		return denial, nameHash
	}
	return denial, typeHash
}

// judge decides what kind of an entry e is and how long it holds, and reports whether it is kept. Cut messages are not, nor are answers to a
// query that did not ask for recursion, and all without a TTL that says how long they hold.
func (c *cache) judge(e *entry) bool {
	m := e.message
	switch {
	case m.flags&wire.FlagTC != 0 || m.transient || !e.query.rd || e.query.typ == 0:
		return false
	case m.outcome == wire.Answered && m.timed:
		e.kind, e.holds = success, hold(m.ttl, c.options.Success)
	case m.outcome == wire.NoData && m.timed:
		e.kind, e.holds = denial, hold(m.ttl, c.options.Denial)
	case m.outcome == wire.NoName && m.timed:
		e.kind, e.holds = denial, hold(m.ttl, c.options.Denial)
		if m.counts[wire.Answer] == 0 {
			e.query.typ = 0 // it is the qname that does not exist, not the end of a chain of aliases
		}
	case m.outcome == wire.Failed && (m.rcode == wire.ServerFailure || m.rcode == wire.NotImp):
		e.kind, e.holds = upstreamFailure, min(c.options.ServFail, 5*time.Minute) // RFC 2308 section 7, RFC 9520 section 3.2
	}
	return e.holds > 0
}

func hold(ttl time.Duration, limit CacheLimit) time.Duration {
	return min(max(ttl, limit.MinTTL), limit.MaxTTL)
}

// result is what e says to a question.
func (c *cache) result(r *Request, e *entry, found freshness) result {
	a := c.aging(e)
	if found == fresh {
		if !c.options.KeepTTL {
			a.age = seconds(r.Now.Sub(e.stored))
		}
		return e.message.result(FromCache, a)
	}
	c.servedStale.Add(1)
	res := e.message.result(FromCache, aging{floor: staleTTL, limit: staleTTL})
	res.info, res.words = wire.StaleAnswer, edeStale
	if e.outcome == wire.NoName {
		res.info = staleNoName
	}
	return res
}

// aging is how the TTLs of a new entry are shown. Those of a denial are no longer than it holds (RFC 2308 section 5).
func (c *cache) aging(e *entry) aging {
	if e.kind == success {
		return aging{floor: seconds(c.options.Success.MinTTL), limit: seconds(c.options.Success.MaxTTL)}
	}
	return aging{floor: seconds(min(c.options.Denial.MinTTL, e.holds)), limit: seconds(e.holds)}
}

func seconds(d time.Duration) uint32 { return uint32(max(d, 0) / time.Second) }
