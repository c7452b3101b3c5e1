package resolver

// CacheCounts is what a cache has done, as coredns_cache_* metrics have it; pairs are success and denial.
type CacheCounts struct {
	Entries     [2]int
	Size        [2]int // octets
	Hits        [2]uint64
	Evictions   [2]uint64
	Requests    uint64
	Misses      uint64
	Prefetches  uint64
	Drops       uint64
	ServedStale uint64
}

// count sums the shards up.
func (c *cache) count() CacheCounts {
	sum := CacheCounts{ServedStale: c.servedStale.Load()}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		counts := s.counts
		for k := range s.halves {
			sum.Entries[k] += s.halves[k].lru.Len()
			sum.Size[k] += s.halves[k].size
		}
		s.mu.Unlock()
		for k := range sum.Hits {
			sum.Hits[k] += counts.Hits[k]
			sum.Evictions[k] += counts.Evictions[k]
		}
		sum.Requests += counts.Requests
		sum.Misses += counts.Misses
		sum.Prefetches += counts.Prefetches
		sum.Drops += counts.Drops
	}
	return sum
}
