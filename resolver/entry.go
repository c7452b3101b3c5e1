package resolver

import (
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// kind is what an entry says. success and denial are also the two halves of a cache, with limits of their own; failures
// are in the half of the denials.
type kind uint8

const (
	success kind = iota
	denial
	upstreamFailure
)

// freshness is what a lookup found.
type freshness uint8

const (
	miss            freshness = iota
	fresh                     // its TTL has not passed
	stale                     // its TTL has passed; may be served at once
	staleUnverified           // its TTL has passed; may be served if no upstream answers
)

// entry is a cached message, with the query that it answers. Fields above the blank line never change.
type entry struct {
	*message
	query
	stored time.Time
	holds  time.Duration // how long it stays fresh
	kind   kind
	policy cachePolicy // of the name

	// Guarded by the shard's mutex.
	uses       uint8 // lookups since it was last passed over by evict, maxUses at most
	kept       bool  // it is not on probation
	refreshing bool
	hits       uint32    // lookups since the last gap of PrefetchFor
	seen       time.Time // the last lookup that found it
	retry      time.Time // not refreshed before this time
	at         uint64    // its key in the half
	older      *entry    // neighbours in its queue
	newer      *entry
}

func (e *entry) size() int { return e.message.size() + len(e.options) + entryOverhead }

// is tells an entry from another one with the same hash.
func (e *entry) is(k *cacheKey) bool {
	return e.query.typ == k.typ && e.do == k.do && e.cd == k.cd && e.name == string(k.name) && e.options == k.options
}

// place is where the entry is kept, given the hash of its question.
func (e *entry) place(hash uint64) place {
	switch e.kind {
	case success:
		return place{success, hash}
	case upstreamFailure:
		return place{denial, hash ^ failureSalt}
	}
	return place{denial, hash}
}

// allowed reports whether the policy for the name keeps entries of this kind.
func (e *entry) allowed() bool {
	if e.kind == success {
		return e.policy.success
	}
	return e.policy.denial
}

// judge decides the kind of an entry and how long it stays fresh, and reports whether it may be cached. Truncated
// messages may not, nor may messages without a TTL that says how long they hold. Of queries without RD an answer or a
// denial holds for others too; a failure does not, since others ask for recursion.
func (c *cache) judge(e *entry) bool {
	m := e.message
	switch {
	case m.flags&wire.FlagTC != 0 || m.transient:
		return false
	case m.outcome == wire.Answered && m.timed:
		e.kind, e.holds = success, hold(m.ttl, c.options.Success)
	case (m.outcome == wire.NoData || m.outcome == wire.NoName) && m.timed:
		e.kind, e.holds = denial, hold(m.ttl, c.options.Denial)
	case m.outcome == wire.Failed && e.query.rd && (m.rcode == wire.ServerFailure || m.rcode == wire.NotImp):
		// RFC 2308 section 7 and RFC 9520 section 3.2 limit how long a failure may be kept.
		e.kind, e.holds = upstreamFailure, min(c.options.ServFail, 5*time.Minute)
	}
	return e.holds > 0
}

func hold(ttl time.Duration, limit CacheLimit) time.Duration {
	return min(max(ttl, limit.MinTTL), limit.MaxTTL)
}

// result is the answer that e gives.
func (c *cache) result(r *Request, e *entry, found freshness) result {
	a := c.aging(e)
	if found == fresh {
		if !c.options.KeepTTL {
			a.age = seconds(r.Now.Sub(e.stored))
		}
		return e.message.result(FromCache, a)
	}
	c.servedStale.Add(1)
	ttl := seconds(c.options.StaleTTL)
	res := e.message.result(FromCache, aging{floor: ttl, limit: ttl})
	res.info, res.words = wire.StaleAnswer, edeStale
	if e.outcome == wire.NoName {
		res.info = staleNoName
	}
	return res
}

// aging is how the TTLs of a new entry change. That of the SOA of a denial does not exceed the time that the denial holds
// (RFC 2308 section 5); aliases before it have TTLs of their own.
func (c *cache) aging(e *entry) aging {
	if e.kind == success {
		return aging{floor: seconds(c.options.Success.MinTTL), limit: seconds(c.options.Success.MaxTTL)}
	}
	a := aging{floor: seconds(min(c.options.Denial.MinTTL, e.holds)), limit: seconds(e.holds)}
	if e.kind == denial {
		a.limit, a.denial = seconds(c.options.Success.MaxTTL), a.limit
	}
	return a
}

func seconds(d time.Duration) uint32 { return uint32(max(d, 0) / time.Second) }
