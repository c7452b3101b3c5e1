package config

import (
	"slices"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/watch"
)

// defaultApex is the labels between an external zone and its name server, as in CoreDNS.
const defaultApex = "dns"

// k8s_external [ZONES…] { apex NAME; ttl SECONDS; headless; fallthrough [ZONES…] }
func (b *blockReader) external(a *args) {
	e := resolver.External{Apex: defaultApex, TTL: defaultTTL, Zones: a.zonesOr(b.zones...)}
	a.options(options{
		"apex":        func(o *args) { e.Apex = o.word("a name below the zone such as dns") },
		"ttl":         func(o *args) { e.TTL = o.seconds(0, 3600) },
		"headless":    set(&e.Headless),
		"fallthrough": func(o *args) { e.Fallthrough.Zones = o.zonesOr(".") },
	})
	for _, z := range e.Zones {
		if resolver.IsReverse(z) {
			a.fail("%s is a reverse zone: names of services are in other zones", z)
		}
		if err := resolver.CheckExternal(z, e.Apex); err != nil {
			a.fail("%v", err)
		}
	}
	b.Steps.Externals = append(b.Steps.Externals, e)
	b.externals = append(b.externals, a.at)
}

// checkExternals has the source of the block's first kubernetes keep what k8s_external is about.
func (b *blockReader) checkExternals() error {
	for i := range b.Steps.Externals {
		if len(b.Sources) == 0 {
			return b.externals[i].errorf("k8s_external: needs the directive kubernetes in the same block, " +
				"which says where the services are")
		}
		o := &b.Sources[0].Objects
		o.External = true
		o.ExternalHeadless = o.ExternalHeadless || b.Steps.Externals[i].Headless
	}
	return nil
}

// shareSources has sources that differ in nothing but what k8s_external, metadata and search need of them share one watch.
func shareSources(blocks []*blockReader) {
	plain := func(o watch.Options) watch.Options {
		o.External, o.ExternalHeadless, o.PodDetails, o.Who = false, false, false, false
		return o
	}
	kept := map[watch.Options]watch.Options{}
	each := func(edit func(*watch.Options)) {
		for _, b := range blocks {
			for i := range b.Sources {
				edit(&b.Sources[i].Objects)
			}
		}
	}
	each(func(o *watch.Options) {
		all := kept[plain(*o)]
		all.External, all.ExternalHeadless = all.External || o.External, all.ExternalHeadless || o.ExternalHeadless
		all.PodDetails, all.Who = all.PodDetails || o.PodDetails, all.Who || o.Who
		kept[plain(*o)] = all
	})
	each(func(o *watch.Options) {
		all := kept[plain(*o)]
		o.External, o.ExternalHeadless, o.PodDetails, o.Who = all.External, all.ExternalHeadless, all.PodDetails, all.Who
	})
}

func usesExternal(b *Block) bool { return len(b.Steps.Externals) > 0 }

func summarizeExternals(b *Block, s *summary) {
	for i := range b.Steps.Externals {
		e := &b.Steps.Externals[i]
		l := s.step("k8s_external %s of %s", names(e.Zones), names(slices.Clone(b.Steps.Kubernetes[0].Zones)))
		l.add(e.Apex != defaultApex, "apex %s", e.Apex)
		l.add(true, "ttl %s", seconds(e.TTL))
		l.add(e.Headless, "headless services")
		l.passes(e.Fallthrough)
	}
}
