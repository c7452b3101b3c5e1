package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// The defaults of cache that are set here, which are CoreDNS's.
const (
	defaultDenialMinTTL = 5 * time.Second
	defaultServFail     = 5 * time.Second
	defaultPrefetchFor  = time.Minute
	defaultPrefetchAt   = 10 // percent
	defaultServeStale   = time.Hour
	mostRecheck         = 5 * time.Minute
)

// leastCapacity replaces any smaller CAPACITY, as in CoreDNS: people who write `success 1 30` care for the TTL and do
// not mean a cache of one entry.
const leastCapacity = 1024

// cache [TTL] [ZONES…] { success|denial CAPACITY [TTL] [MINTTL]; … }
func (b *blockReader) cache(a *args) {
	c := &resolver.Cache{
		Success: resolver.CacheLimit{Capacity: resolver.DefaultCapacity, MaxTTL: resolver.DefaultSuccessTTL},
		Denial: resolver.CacheLimit{
			Capacity: resolver.DefaultCapacity, MaxTTL: resolver.DefaultDenialTTL, MinTTL: defaultDenialMinTTL,
		},
		ServFail:    defaultServFail,
		PrefetchFor: defaultPrefetchFor,
		PrefetchAt:  defaultPrefetchAt,
	}
	b.Steps.Cache = c
	if _, err := strconv.Atoi(a.peek()); err == nil {
		ttl := a.seconds(1, math.MaxInt32)
		c.Success.MaxTTL, c.Denial.MaxTTL = ttl, ttl
	}
	first := a.peek()
	c.Zones = a.zonesOr(b.zones...)
	if len(c.Zones) > 0 && b.meansTTL(first, c.Zones[0]) {
		a.warnf("%q is read as a zone: a TTL is a number of seconds, as in cache 30", first)
	}
	a.options(options{
		"success":            func(o *args) { cacheLimit(o, &c.Success) },
		"denial":             func(o *args) { cacheLimit(o, &c.Denial) },
		"prefetch":           func(o *args) { prefetch(o, c) },
		"serve_stale":        func(o *args) { serveStale(o, c) },
		"serve_stale_policy": func(o *args) { c.PreferPositive = chooseFolded(o, map[string]bool{"prefer_positive": true}) },
		"servfail":           func(o *args) { c.ServFail = o.duration(0, 5*time.Minute) },
		"disable":            func(o *args) { disable(o, c) },
		"keepttl":            set(&c.KeepTTL),
	})
	if c.PreferPositive && !a.has("serve_stale") {
		a.fail("serve_stale_policy needs serve_stale")
	}
	// An option may raise one half above the directive's TTL; the cap of both is the larger.
	c.MaxTTL = max(c.Success.MaxTTL, c.Denial.MaxTTL)
}

func cacheLimit(a *args, l *resolver.CacheLimit) {
	l.Capacity = max(a.number(0, math.MaxInt32), leastCapacity)
	if a.more() {
		l.MaxTTL = a.seconds(1, math.MaxInt32)
	}
	if a.more() {
		l.MinTTL = a.seconds(0, math.MaxInt32)
	}
}

// prefetch AMOUNT [DURATION [PERCENTAGE%]]
func prefetch(a *args, c *resolver.Cache) {
	c.Prefetch = a.number(0, math.MaxInt32)
	if a.more() {
		c.PrefetchFor = a.duration(0, forever)
	}
	if !a.more() {
		return
	}
	w := a.word("")
	digits, found := strings.CutSuffix(w, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || !found || n < 10 || n > 90 {
		a.fail("got %q, wants a percentage from 10%% to 90%%", w)
	}
	c.PrefetchAt = n
}

// serve_stale [DURATION [immediate [RESPONSE_TTL [FAILURE_RECHECK]] | verify [TIMEOUT [RESPONSE_TTL [FAILURE_RECHECK]]]]]
func serveStale(a *args, c *resolver.Cache) {
	c.ServeStale, c.StaleVerify, c.StaleTimeout, c.StaleTTL, c.StaleRecheck = defaultServeStale, false, 0, 0, 0
	if a.more() {
		c.ServeStale = a.duration(0, forever)
	}
	if a.more() {
		c.StaleVerify = chooseFolded(a, map[string]bool{"immediate": false, "verify": true})
	}
	if a.more() && c.StaleVerify {
		c.StaleTimeout = a.duration(0, forever)
	}
	if a.more() {
		if c.StaleTTL = a.duration(0, math.MaxInt32*time.Second); c.StaleTTL%time.Second != 0 {
			a.fail("got %v, wants whole seconds, as TTLs are", c.StaleTTL)
		}
	}
	if a.more() {
		c.StaleRecheck = max(a.duration(0, mostRecheck), resolver.NoRecheck)
	}
}

// disable success|denial [ZONES…]
func disable(a *args, c *resolver.Cache) {
	names := choose(a, map[string]*[]string{"success": &c.DisableSuccess, "denial": &c.DisableDenial})
	zones := a.zonesOr(".")
	if a.err == nil {
		*names = append(*names, zones...)
	}
}

func usesCache(b *Block) bool { return b.Steps.Cache != nil }

func summarizeCache(b *Block, s *summary) {
	c := b.Steps.Cache
	if c == nil {
		return
	}
	l := s.step("cache for %s", names(c.Zones))
	l.limit("success", &c.Success)
	l.limit("denial", &c.Denial)
	l.add(c.ServFail != defaultServFail, "server failures %v", c.ServFail)
	l.add(c.Prefetch > 0, "prefetch after %d in %v at %d%%", c.Prefetch, c.PrefetchFor, c.PrefetchAt)
	l.add(c.ServeStale > 0 && !c.StaleVerify, "serve stale for %v", c.ServeStale)
	l.add(c.ServeStale > 0 && c.StaleVerify, "serve stale for %v after asking", c.ServeStale)
	l.add(c.StaleTimeout > 0, "or after %v", c.StaleTimeout)
	l.add(c.StaleTTL > 0, "stale ttl %s", seconds(c.StaleTTL))
	l.add(c.StaleRecheck == resolver.NoRecheck, "asking again at once")
	l.add(c.StaleRecheck > resolver.NoRecheck, "asking again after %v", c.StaleRecheck)
	l.add(c.PreferPositive, "records before denials")
	l.add(len(c.DisableSuccess) > 0, "no success of %s", names(c.DisableSuccess))
	l.add(len(c.DisableDenial) > 0, "no denial of %s", names(c.DisableDenial))
	l.add(c.KeepTTL, "keeps TTLs")
}

func (l *line) limit(half string, c *resolver.CacheLimit) {
	l.add(true, "%s %d for %s-%s", half, c.Capacity, seconds(c.MinTTL), seconds(c.MaxTTL))
}

// meansTTL reports whether an argument that was read as a zone looks like a TTL: it begins with a digit, and is neither a
// duration, which has a warning of its own, nor in a zone of the block. In the root zone, a name of one label is meant.
func (b *blockReader) meansTTL(first, zone string) bool {
	if _, err := time.ParseDuration(first); err == nil || first == "" || first[0] < '0' || first[0] > '9' || resolver.IsReverse(zone) {
		return false
	}
	return !slices.ContainsFunc(b.zones, func(z string) bool {
		return dns.IsSubDomain(z, zone) && (z != "." || dns.CountLabel(zone) > 1)
	})
}
