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

// The bounds of a cache. A half holds at most its capacity in entries and entryBudget octets of messages for each of
// them, whichever is reached first. What goes is chosen by half.evict.
const (
	maxShards      = 64
	shardCapacity  = 64        // entries for which a shard is made at least, so that shards fill evenly
	entryBudget    = 1024      // octets
	minShardBudget = 128 << 10 // octets: room for the largest message in the smallest shard
	entryOverhead  = 470       // octets of an entry besides its message, with its part of the table and the fingerprints

	// RFC 8767 sections 4 and 5 recommend both times.
	staleTTL     = 30 * time.Second // of the records in a stale answer
	staleRecheck = 30 * time.Second
	staleNoName  = wire.InfoCode(19) // Stale NXDOMAIN Answer, RFC 8914 section 4.20
	refreshQueue = 256               // refreshes waiting
	refreshLimit = 64                // refreshes under way
)

// cache keeps what was forwarded, for one server block. It consists of shards, each with a mutex that is held for a few
// lookups; a hit allocates nothing. Any number of goroutines may use it.
type cache struct {
	options        Cache
	zones          zones.Set
	disableSuccess zones.Set
	disableDenial  zones.Set
	seed           maphash.Seed
	shards         []shard
	refreshes      chan refresh
	servedStale    atomic.Uint64
	fetch          func(context.Context, query, *observer) *message // asks upstream again when an entry is refreshed
}

// cachePolicy is which answers a cache keeps for a name.
type cachePolicy struct {
	enabled bool
	success bool // answers with records
	denial  bool // NXDOMAIN, NODATA and failures
}

// scope is the policy for names in zone.
func (c *cache) scope(zone *wire.QName) cachePolicy {
	if !c.zones.Contains(zone) {
		return cachePolicy{}
	}
	return cachePolicy{true, !c.disableSuccess.Contains(zone), !c.disableDenial.Contains(zone)}
}

// newCache makes an empty cache, which refreshes its entries by asking forwarders.
func newCache(options Cache, forwarders []*forwarder) (*cache, error) {
	c := &cache{options: options, seed: maphash.MakeSeed(), refreshes: make(chan refresh, refreshQueue)}
	c.fetch = func(ctx context.Context, q query, o *observer) *message { return refetch(ctx, forwarders, q, o) }
	for _, set := range []struct {
		to    *zones.Set
		names []string
	}{
		{&c.zones, options.Zones},
		{&c.disableSuccess, options.DisableSuccess},
		{&c.disableDenial, options.DisableDenial},
	} {
		var err error
		if *set.to, err = zones.NewSet(set.names); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
	c.options.StaleTTL = positive(options.StaleTTL, staleTTL)
	c.options.StaleRecheck = positive(options.StaleRecheck, staleRecheck)
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

// limits fills in options of a half that were left zero.
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

// Keys. A denial by NXDOMAIN is kept for its own type alone, though RFC 2308 section 5 has it hold for every type, and
// RFC 8020 for all names below: there are upstreams that answer AAAA with NXDOMAIN although the name has an A record
// (RFC 4074 section 4.2).
const (
	typeSalt    = 0x9e3779b97f4a7c15 // odd, so that no two types meet
	failureSalt = 0xd1b54a32d192ed03
	optionsSalt = 0xff51afd7ed558ccd // odd; it tells options from a name of the same octets
)

// shardOf is the shard for a question, and the hash of the question in that shard. DO, CD and EDNS options change the
// hash: answers with and without DNSSEC data, and those for different subnets, are different entries.
func (c *cache) shardOf(k *cacheKey) (*shard, uint64) {
	hash := maphash.Bytes(c.seed, k.name) ^ uint64(k.typ)*typeSalt
	if k.do {
		hash ^= 0xbf58476d1ce4e5b9
	}
	if k.cd {
		hash ^= 0x94d049bb133111eb
	}
	if k.options != "" {
		hash ^= maphash.String(c.seed, k.options) * optionsSalt
	}
	return &c.shards[hash>>32&uint64(len(c.shards)-1)], hash
}

// answer answers q from the cache. An entry that may be served only if no upstream answers is left in the request.
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

// get looks up the entry for q and counts the lookup. The entry stays valid while the caller uses it, even if the cache
// drops it meanwhile. An entry worth fetching again is handed to run.
func (c *cache) get(r *Request, q *question) (*entry, freshness) {
	k := keyOf(r, q)
	s, hash := c.shardOf(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Requests++
	e, found := c.find(s, hash, &k, r.Now)
	if found == miss {
		s.counts.Misses++
		return nil, miss
	}
	s.counts.Hits[min(e.kind, denial)]++
	e.uses = min(e.uses+1, maxUses)
	if c.wanted(e, found, r.Now) {
		c.refresh(s, refresh{e, !r.Proto.Datagram(), r.taps.observer(r)})
	}
	return e, found
}

// look looks up an answer once more when a question that has missed is about to be asked: another query may have
// fetched it meanwhile. It counts nothing and accepts fresh entries only.
func (c *cache) look(r *Request, q *question) *entry {
	k := keyOf(r, q)
	s, hash := c.shardOf(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, found := c.find(s, hash, &k, r.Now); found == fresh {
		return e
	}
	return nil
}

// cacheKey is what an entry must agree with. Hashes find it.
type cacheKey struct {
	name    []byte // wire form in lower case
	typ     wire.Type
	do, cd  bool
	options string
}

func keyOf(r *Request, q *question) cacheKey {
	return cacheKey{q.name.Name(), q.qtype, r.Query.DO, r.Query.Flags&wire.FlagCD != 0, q.options}
}

func (q *query) cacheKey() cacheKey {
	return cacheKey{[]byte(q.name), q.typ, q.do, q.cd, q.options}
}

// find chooses among the entries for a name: a fresh answer or denial, else a stale one that may be served, else a
// fresh failure.
func (c *cache) find(s *shard, hash uint64, k *cacheKey, now time.Time) (*entry, freshness) {
	var old *entry
	for i := range s.halves {
		e := s.halves[i].entries.find(hash)
		if e == nil || !e.is(k) {
			continue
		}
		age := now.Sub(e.stored)
		if age < e.holds {
			return e, fresh
		}
		if age < e.holds+c.options.ServeStale && (old == nil || e.stored.After(old.stored)) {
			old = e
		}
		if old != nil && c.options.PreferPositive {
			break // the success half comes first
		}
	}
	if old != nil {
		if c.options.StaleVerify && now.After(old.retry) {
			return old, staleUnverified
		}
		return old, stale
	}
	e := s.halves[denial].entries.find(hash ^ failureSalt)
	if e != nil && e.is(k) && now.Sub(e.stored) < e.holds {
		return e, fresh
	}
	return nil, miss
}

// add caches what upstream answered to q, if it may be cached. now is the time of the query; an answer that took long
// counts from its arrival. What was known before ends with it even if the answer itself is not kept.
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
	if !q.rd && !keepable {
		return // whoever was not asked to recurse has not said what there is
	}
	k := q.cacheKey()
	s, hash := c.shardOf(&k)
	at := place{}
	if keepable && e.allowed() {
		at = e.place(hash)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.halves[at.half].entries.find(at.hash); old != nil && old.message == m {
		return // another query that waited for the same answer has added it
	}
	if known := s.halves[success].entries.find(hash); known != nil && known.is(&k) && c.prefers(known, m, now) {
		known.retry = now.Add(c.options.StaleRecheck)
	} else if m.refreshes() {
		s.drop(hash, at)
	} else {
		s.postpone(hash, &k, now.Add(c.options.StaleRecheck))
	}
	switch {
	case at != place{}:
		s.put(at, e)
	case !keepable && (m.outcome == wire.Unusable || (m.outcome == wire.NoData || m.outcome == wire.NoName) && !m.timed):
		s.counts.Drops++
	}
}

// prefers reports whether the records of known go on to be served although upstream has said m, which is no answer with
// records.
func (c *cache) prefers(known *entry, m *message, now time.Time) bool {
	return c.options.PreferPositive && known.kind == success && m.outcome != wire.Answered &&
		now.Sub(known.stored) < known.holds+c.options.ServeStale
}

// supersedes reports whether the client that would get known, a stale answer, gets m instead.
func (c *cache) supersedes(m *message, known *entry, now time.Time) bool {
	return m.refreshes() && !c.prefers(known, m, now)
}

// rest has known served at once for a while: the query that asked upstream for it at now has waited in vain.
func (c *cache) rest(known *entry, now time.Time) {
	k := known.query.cacheKey()
	s, _ := c.shardOf(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	known.retry = now.Add(c.options.StaleTimeout + c.options.StaleRecheck)
}

// agingOf is how the TTLs of m change for its first client: as a hit would change them, so that they do not jump. rd says
// that upstream was asked to recurse.
func (c *cache) agingOf(rd bool, policy cachePolicy, m *message) aging {
	e := entry{message: m, query: query{rd: rd}}
	if !policy.enabled || !c.judge(&e) {
		return unchangedTTLs
	}
	return c.aging(&e)
}
