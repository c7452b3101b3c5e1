package resolver

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
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

// kind is what an entry says. The first two are the halves of the cache that have their own limits; broken live with the denials.
type kind uint8

const (
	success kind = iota
	denial
	broken // a failure of upstream
)

// freshness is what a lookup found.
type freshness uint8

const (
	missing   freshness = iota
	fresh               // within its TTL
	stale               // behind it, to be served now
	unchecked           // behind it, to be served when upstream does not answer
)

// entry is a message kept for the questions it answers. What is above the line never changes.
type entry struct {
	*message
	query
	kind   kind
	keep   cached // what is kept of the name
	stored time.Time
	holds  time.Duration // how long it is fresh

	// Guarded by the shard's mutex.
	seen       time.Time // the last lookup that found it
	hits       int       // lookups without a gap of PrefetchFor
	refreshing bool
	retry      time.Time // not refreshed before
}

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
type cached struct {
	here    bool // any of them
	success bool // answers with records
	denial  bool // NXDOMAIN, NODATA and failures
}

// scope is what the cache keeps of the answers for names in zone.
func (c *cache) scope(zone *wire.QName) cached {
	if !c.zones.Contains(zone) {
		return cached{}
	}
	return cached{true, !c.disableSuccess.Contains(zone), !c.disableDenial.Contains(zone)}
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

func (e *entry) size() int { return e.message.size() + entryOverhead }

// Keys. A denial by NXDOMAIN holds for every type of the name (RFC 2308 section 5) and is kept under type 0.
const (
	typeKey    = 0x9e3779b97f4a7c15 // odd, so that no two types meet
	failureKey = 0xd1b54a32d192ed03
)

// shardOf is the shard of a name, and the key of the name in it.
func (c *cache) shardOf(hash uint64, dnssec, unchecked bool) (*shard, uint64) {
	if dnssec {
		hash ^= 0xbf58476d1ce4e5b9
	}
	if unchecked {
		hash ^= 0x94d049bb133111eb
	}
	return &c.shards[hash>>32&uint64(len(c.shards)-1)], hash
}

// answer answers q with what is kept. What may be served only when upstream does not answer is left in the request.
func (c *cache) answer(r *Request, q *question) result {
	r.stale = nil
	if !q.scope.cached.here || len(q.forwarders()) == 0 {
		return result{}
	}
	e, found := c.get(r, q)
	switch found {
	case fresh, stale:
		return c.result(r, e, found)
	case unchecked:
		r.stale = e
	}
	return result{}
}

// get looks for an answer to q. The entry may be written until it is let go of, whatever becomes of it in the cache. An entry that
// should be fetched again is handed to run.
func (c *cache) get(r *Request, q *question) (*entry, freshness) {
	k := keyOf(r, q)
	s, key := c.shardOf(maphash.Bytes(c.seed, k.name), k.do, k.cd)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Requests++
	e, found := c.find(s, key, &k, r.Now)
	if found == missing {
		s.counts.Misses++
		return nil, missing
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
	s, key := c.shardOf(maphash.Bytes(c.seed, k.name), k.do, k.cd)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, found := c.find(s, key, &k, r.Now); found == fresh {
		return e
	}
	return nil
}

// key is what entries are found by.
type key struct {
	name   []byte // wire form in lower case
	typ    wire.Type
	do, cd bool
}

func keyOf(r *Request, q *question) key {
	return key{q.name.Name(), q.qtype, r.Query.DO, r.Query.Flags&wire.FlagCD != 0}
}

// find chooses among what is known of a name: fresh records, a fresh denial, what is stale but may be served, a fresh failure.
func (c *cache) find(s *shard, key uint64, k *key, now time.Time) (*entry, freshness) {
	typed := key ^ uint64(k.typ)*typeKey
	candidates := [...]struct {
		half *half
		key  uint64
		typ  wire.Type
	}{{&s.halves[success], typed, k.typ}, {&s.halves[denial], typed, k.typ}, {&s.halves[denial], key, 0}}
	var old *entry
	for i := range candidates {
		h := candidates[i].half
		e, ok := h.lru.Get(candidates[i].key)
		if !ok || !e.is(k, candidates[i].typ) {
			continue
		}
		age := now.Sub(e.stored)
		if age < e.holds {
			return e, fresh
		}
		if age >= e.holds+c.options.ServeStale {
			h.lru.Remove(candidates[i].key)
		} else if old == nil || e.stored.After(old.stored) {
			old = e
		}
	}
	if old != nil {
		if c.options.StaleVerify && now.After(old.retry) {
			return old, unchecked
		}
		return old, stale
	}
	e, ok := s.halves[denial].lru.Get(typed ^ failureKey)
	if ok && e.is(k, k.typ) && now.Sub(e.stored) < e.holds {
		return e, fresh
	}
	return nil, missing
}

// is tells an entry from another one with the same key.
func (e *entry) is(k *key, typ wire.Type) bool {
	return e.query.typ == typ && e.do == k.do && e.cd == k.cd && e.name == string(k.name)
}

// wanted counts a hit and reports whether the entry should be fetched again: it is stale, or popular and soon to be.
func (c *cache) wanted(e *entry, found freshness, now time.Time) bool {
	if c.options.Prefetch > 0 {
		if now.Sub(e.seen) >= c.options.PrefetchFor {
			e.hits = 0
		}
		e.seen = now
		e.hits++
	}
	if e.kind == broken || e.refreshing || now.Before(e.retry) {
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
				if m := c.fetch(ctx, e.asked()); ctx.Err() == nil {
					c.add(e.asked(), e.keep, m, time.Now())
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
func (e *entry) asked() query {
	q := e.query
	if q.typ == 0 {
		q.typ = wire.TypeA
	}
	q.rd = true
	return q
}

// add keeps what upstream said to q, if it may be kept. now is the time of the query; what took long to come is as old as its arrival.
func (c *cache) add(q query, keep cached, m *message, now time.Time) {
	if !keep.here {
		return
	}
	if m.received.After(now) {
		now = m.received
	}
	e := &entry{message: m, query: q, keep: keep, stored: now}
	e.query.tcp = false
	keepable := c.judge(e)
	s, key := c.shardOf(maphash.String(c.seed, q.name), q.do, q.cd)
	typed := key ^ uint64(q.typ)*typeKey
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.outcome == wire.Failed || !keepable {
		s.postpone(key, typed, q.name, now)
	}
	if !keepable {
		if m.outcome == wire.Unusable || (m.outcome == wire.NoData || m.outcome == wire.NoName) && !m.timed {
			s.counts.Drops++
		}
		return
	}
	half, at := e.place(key, typed)
	if old, ok := s.halves[half].lru.Peek(at); ok && old.message == m {
		return // of several that waited for the same answer another one was here before
	}
	if e.kind != broken {
		s.drop(key, typed, e) // what is known by now to be wrong goes even where its successor is not kept
	}
	if e.kind == success && !keep.success || half == denial && !keep.denial {
		return
	}
	s.put(half, at, e)
}

// shown is how the TTLs of m, the answer to q, are shown: as a hit would show them, so that they do not jump.
func (c *cache) shown(q query, keep cached, m *message) aging {
	e := entry{message: m, query: q}
	if !keep.here || !c.judge(&e) {
		return asItCame
	}
	return c.aging(&e)
}

// place is where an entry is kept.
func (e *entry) place(key, typed uint64) (half kind, at uint64) {
	switch {
	case e.kind == success:
		return success, typed
	case e.kind == broken:
		return denial, typed ^ failureKey
	case e.query.typ == 0:
		return denial, key
	}
	return denial, typed
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
		e.kind, e.holds = broken, min(c.options.ServFail, 5*time.Minute) // RFC 2308 section 7, RFC 9520 section 3.2
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
	res.info, res.words = wire.StaleAnswer, "the answer is older than its TTL; upstream is being asked again or does not answer"
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
