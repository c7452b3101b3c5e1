package resolver

// BlockCounts is what one server block has counted. What several blocks share, of one resolver or another, is in the first one's only.
type BlockCounts struct {
	Zones      []string
	Hosts      *HostsCounts // nil without hosts
	Cache      *CacheCounts // nil without a cache
	ACL        *ACLCounts   // nil without acl
	Translated *uint64      // questions that dns64 has answered; nil without it
	Forwards   []ForwardCounts
}

// Counts are the counters of the server blocks of resolvers, in the order of their Options.Blocks. Any goroutine may ask.
func Counts(resolvers []*Resolver) [][]BlockCounts {
	counted := map[any]bool{}
	var all [][]BlockCounts
	for _, r := range resolvers {
		var blocks []BlockCounts
		for _, b := range r.blocks {
			blocks = append(blocks, b.count(counted))
		}
		all = append(all, blocks)
	}
	return all
}

// count is the counters of b but those in counted, to which it adds b's.
func (b *block) count(counted map[any]bool) BlockCounts {
	first := func(part any) bool {
		seen := counted[part]
		counted[part] = true
		return !seen
	}
	counts := BlockCounts{Zones: b.options.Zones}
	if b.hosts != nil && first(b.hosts) {
		c := b.hosts.count()
		counts.Hosts = &c
	}
	if b.cache != nil && first(b.cache) {
		c := b.cache.count()
		counts.Cache = &c
	}
	if b.acls != nil && first(b.acls) {
		c := b.acls.count()
		counts.ACL = &c
	}
	if b.dns64 != nil && first(b.dns64) {
		n := b.dns64.translated.Load()
		counts.Translated = &n
	}
	for _, f := range b.forwarders {
		if first(f) {
			counts.Forwards = append(counts.Forwards, f.count())
		}
	}
	return counts
}
