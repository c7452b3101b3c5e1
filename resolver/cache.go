package resolver

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The bounds of a cache. A half holds at most its capacity in entries and entryBudget octets of messages for each of them, whichever
// is reached first; what was used longest ago goes.
const (
	maxShards      = 64
	shardCapacity  = 64        // a shard is for at least so many entries, so that the halves fill evenly
	entryBudget    = 1024      // octets
	minShardBudget = 128 << 10 // octets: room for the largest message in the smallest shard
	entryOverhead  = 256       // octets of an entry besides its message

	// RFC 8767 section 4 recommends both.
	staleTTL     = 30 // seconds: what records of a stale answer say
	staleRecheck = 30 * time.Second
	staleNoName  = wire.InfoCode(19) // Stale NXDOMAIN Answer, RFC 8914 section 4.20
	refreshQueue = 256               // refreshes waiting
	refreshLimit = 64                // refreshes under way
)

// cache keeps what was forwarded, for the questions of one block. It is made of shards, each with a mutex that is held for a few map
// lookups; a hit allocates nothing. Any number of goroutines may use it.
type cache struct {
	options        Cache
	zones          zones.Set
	disableSuccess zones.Set
	disableDenial  zones.Set
	seed           maphash.Seed
	shards         []shard
	refreshes      chan *entry
	servedStale    atomic.Uint64
	fetch          func(context.Context, query) *message // asks upstream for an entry again
}

// cached is what a cache keeps of the answers for a name.
type cachePolicy struct {
	enabled bool
	success bool // answers with records
	denial  bool // NXDOMAIN, NODATA and failures
}

// scope is what the cache keeps of the answers for names in zone.
func (c *cache) scope(zone *wire.QName) cachePolicy {
	if !c.zones.Contains(zone) {
		return cachePolicy{}
	}
	return cachePolicy{true, !c.disableSuccess.Contains(zone), !c.disableDenial.Contains(zone)}
}

// newCache is an empty cache of what forwarders say.
func newCache(options Cache, forwarders []*forwarder) (*cache, error) {
	c := &cache{options: options, seed: maphash.MakeSeed(), refreshes: make(chan *entry, refreshQueue)}
	c.fetch = func(ctx context.Context, q query) *message { return refetch(ctx, forwarders, q) }
	for _, set := range []struct {
		to    *zones.Set
		names []string
	}{{&c.zones, options.Zones}, {&c.disableSuccess, options.DisableSuccess}, {&c.disableDenial, options.DisableDenial}} {
		var err error
		if *set.to, err = zones.NewSet(set.names); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
	c.limits(&c.options.Success, DefaultSuccessTTL)
	c.limits(&c.options.Denial, DefaultDenialTTL)
	largest := max(c.options.Success.Capacity, c.options.Denial.Capacity)
	count := 1
	for count < maxShards && largest/count >= 2*shardCapacity {
		count *= 2
	}
	c.shards = make([]shard, count)
	for i := range c.shards {
		c.shards[i].halves[success].init(c.options.Success.Capacity, count)
		c.shards[i].halves[denial].init(c.options.Denial.Capacity, count)
	}
	return c, nil
}

// limits fills in what the options of a half leave open.
func (c *cache) limits(l *CacheLimit, cap time.Duration) {
	if l.Capacity <= 0 {
		l.Capacity = DefaultCapacity
	}
	if l.MaxTTL <= 0 {
		l.MaxTTL = cap
		if c.options.MaxTTL > 0 {
			l.MaxTTL = c.options.MaxTTL
		}
	}
}

// Keys. A denial by NXDOMAIN holds for every type of the name (RFC 2308 section 5) and is kept under type 0.
const (
	typeSalt    = 0x9e3779b97f4a7c15 // odd, so that no two types meet
	failureSalt = 0xd1b54a32d192ed03
)

// shardOf is the shard of a name, and the key of the name in it.
func (c *cache) shardOf(hash uint64, do, cd bool) (*shard, uint64) {
	if do {
		hash ^= 0xbf58476d1ce4e5b9
	}
	if cd {
		hash ^= 0x94d049bb133111eb
	}
	return &c.shards[hash>>32&uint64(len(c.shards)-1)], hash
}

// answer answers q with what is kept. What may be served only when upstream does not answer is left in the request.
func (c *cache) answer(r *Request, q *question) result {
	r.fallback = nil
	if !q.scope.caching.enabled || len(q.forwarders()) == 0 {
		return result{}
	}
	e, found := c.get(r, q)
	switch found {
	case fresh, stale:
		return c.result(r, e, found)
	case staleUnverified:
		r.fallback = e
	}
	return result{}
}

// get looks for an answer to q. The entry may be written until it is let go of, whatever becomes of it in the cache. An entry that
// should be fetched again is handed to run.
func (c *cache) get(r *Request, q *question) (*entry, freshness) {
	k := keyOf(r, q)
	s, nameHash := c.shardOf(maphash.Bytes(c.seed, k.name), k.do, k.cd)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Requests++
	e, found := c.find(s, nameHash, &k, r.Now)
	if found == miss {
		s.counts.Misses++
		return nil, miss
	}
	s.counts.Hits[min(e.kind, denial)]++
	if c.wanted(e, found, r.Now) {
		c.refresh(s, e)
	}
	return e, found
}

// look is get for a question that has missed, when its turn to be asked has come: nothing is counted, and only what is fresh will do.
func (c *cache) look(r *Request, q *question) *entry {
	k := keyOf(r, q)
	s, nameHash := c.shardOf(maphash.Bytes(c.seed, k.name), k.do, k.cd)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, found := c.find(s, nameHash, &k, r.Now); found == fresh {
		return e
	}
	return nil
}

// key is what entries are found by.
type cacheKey struct {
	name   []byte // wire form in lower case
	typ    wire.Type
	do, cd bool
}

func keyOf(r *Request, q *question) cacheKey {
	return cacheKey{q.name.Name(), q.qtype, r.Query.DO, r.Query.Flags&wire.FlagCD != 0}
}

// find chooses among what is known of a name: fresh records, a fresh denial, what is stale but may be served, a fresh failure.
func (c *cache) find(s *shard, nameHash uint64, k *cacheKey, now time.Time) (*entry, freshness) {
	typeHash := nameHash ^ uint64(k.typ)*typeSalt
	candidates := [...]struct {
		half *half
		hash uint64
		typ  wire.Type
	}{{&s.halves[success], typeHash, k.typ}, {&s.halves[denial], typeHash, k.typ}, {&s.halves[denial], nameHash, 0}}
	var old *entry
	for i := range candidates {
		h := candidates[i].half
		e, ok := h.lru.Get(candidates[i].hash)
		if !ok || !e.is(k, candidates[i].typ) {
			continue
		}
		age := now.Sub(e.stored)
		if age < e.holds {
			return e, fresh
		}
		if age >= e.holds+c.options.ServeStale {
			h.lru.Remove(candidates[i].hash)
		} else if old == nil || e.stored.After(old.stored) {
			old = e
		}
	}
	if old != nil {
		if c.options.StaleVerify && now.After(old.retry) {
			return old, staleUnverified
		}
		return old, stale
	}
	e, ok := s.halves[denial].lru.Get(typeHash ^ failureSalt)
	if ok && e.is(k, k.typ) && now.Sub(e.stored) < e.holds {
		return e, fresh
	}
	return nil, miss
}

// add keeps what upstream said to q, if it may be kept. now is the time of the query; what took long to come is as old as its arrival.
func (c *cache) add(q query, policy cachePolicy, m *message, now time.Time) {
	if !policy.enabled {
		return
	}
	if m.received.After(now) {
		now = m.received
	}
	e := &entry{message: m, query: q, policy: policy, stored: now}
	e.query.tcp = false
	keepable := c.judge(e)
	s, nameHash := c.shardOf(maphash.String(c.seed, q.name), q.do, q.cd)
	typeHash := nameHash ^ uint64(q.typ)*typeSalt
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.outcome == wire.Failed || !keepable {
		s.postpone(nameHash, typeHash, q.name, now)
	}
	if !keepable {
		if m.outcome == wire.Unusable || (m.outcome == wire.NoData || m.outcome == wire.NoName) && !m.timed {
			s.counts.Drops++
		}
		return
	}
	half, at := e.place(nameHash, typeHash)
	if old, ok := s.halves[half].lru.Peek(at); ok && old.message == m {
		return // of several that waited for the same answer another one was here before
	}
	if e.kind != upstreamFailure {
		s.drop(nameHash, typeHash, e) // what is known by now to be wrong goes even where its successor is not kept
	}
	if e.kind == success && !policy.success || half == denial && !policy.denial {
		return
	}
	s.put(half, at, e)
}

// shown is how the TTLs of m, the answer to q, are shown: as a hit would show them, so that they do not jump.
func (c *cache) agingOf(q query, policy cachePolicy, m *message) aging {
	e := entry{message: m, query: q}
	if !policy.enabled || !c.judge(&e) {
		return unchangedTTLs
	}
	return c.aging(&e)
}
