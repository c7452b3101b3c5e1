package resolver

// BlockCounts is what one server block has counted.
type BlockCounts struct {
	Zones    []string
	Hosts    *HostsCounts // nil without hosts
	Cache    *CacheCounts // nil without a cache
	Forwards []ForwardCounts
}

// Counts are the counters of all server blocks, in the order of Options.Blocks. Any goroutine may ask.
func (r *Resolver) Counts() []BlockCounts {
	var all []BlockCounts
	for _, b := range r.blocks {
		counts := BlockCounts{Zones: b.options.Zones}
		if b.hosts != nil {
			c := b.hosts.count()
			counts.Hosts = &c
		}
		if b.cache != nil {
			c := b.cache.count()
			counts.Cache = &c
		}
		for _, f := range b.forwarders {
			counts.Forwards = append(counts.Forwards, f.count())
		}
		all = append(all, counts)
	}
	return all
}
