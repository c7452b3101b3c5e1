package resolver

import (
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// scope is what can be said of a name by the longest zone that it is in, whoever named that zone: the server block, and who in it is
// responsible. It is found by one lookup for each name and listening address, and never changes.
type scope struct {
	block *block
	at    blockZone
	depth int // labels of the longest zone

	acls         []*aclRules
	hosts        bool // hosts answers for the name
	hostsThrough bool // and passes on what it has not
	served       []servedZone
	caching      cachePolicy
	forwards     []*forwarder // those that take names below the longest zone
	forwardsZone []*forwarder // and those that take its own: an exception of the zone that the forward is for does not count
}

// home is where a server block stands in Options.Blocks, and the zone of the block that a name is in.
type blockZone struct{ block, zone int }

// scopes are all scopes of a listening address, or of one server block.
type scopes struct {
	zones zones.Set
	list  []*scope // by index of zones; nil for what no block has
}

// of is the scope of name, nil when no block has it.
func (s *scopes) of(name *wire.QName) *scope {
	if i, _, ok := s.zones.Match(name); ok {
		return s.list[i]
	}
	return nil
}

// newScopes compiles the scopes of names, each with what find says of it.
func newScopes(names []string, find func(zone *wire.QName) *scope) (scopes, error) {
	s := scopes{}
	var err error
	if s.zones, err = zones.NewSet(names); err != nil {
		return s, err
	}
	for _, name := range names {
		zone, err := parseName(name)
		if err != nil {
			return s, err
		}
		s.list = append(s.list, find(zone))
	}
	return s, nil
}

func parseName(text string) (*wire.QName, error) {
	name, err := wire.ParseName(text)
	if err != nil {
		return nil, err
	}
	q := new(wire.QName)
	q.SetString(string(name))
	return q, nil
}

// compileScopes finds the scope of every zone that a block is for or that one of its directives names. Where blocks meet, each zone is of the
// block that has its name.
func compileScopes(blocks []*block) (scopes, error) {
	var names, all []string
	var ats []blockZone
	for i, b := range blocks {
		for j, zone := range b.options.Zones {
			names, ats = append(names, zone), append(ats, blockZone{i, j})
		}
		all = append(all, b.names()...)
	}
	owners, err := zones.NewSet(names)
	if err != nil {
		return scopes{}, err
	}
	return newScopes(append(all, names...), func(zone *wire.QName) *scope {
		i, _, ok := owners.Match(zone)
		if !ok {
			return nil
		}
		return blocks[ats[i].block].scope(zone, ats[i])
	})
}

// names are all that the block's directives name.
func (b *block) names() (all []string) {
	add := func(lists ...[]string) {
		for _, list := range lists {
			all = append(all, list...)
		}
	}
	o := b.options
	for _, a := range o.ACLs {
		add(a.Zones)
	}
	if h := o.Hosts; h != nil {
		add(h.Zones, h.Fallthrough.Zones)
	}
	for _, k := range o.Kubernetes {
		add(k.Zones, k.Fallthrough.Zones)
	}
	if c := o.Cache; c != nil {
		add(c.Zones, c.DisableSuccess, c.DisableDenial)
	}
	for _, f := range o.Forwards {
		add([]string{f.From}, f.Except)
	}
	return all
}

// scope is what the block says of zone and the names below it that are in no longer zone of the block.
func (b *block) scope(zone *wire.QName, at blockZone) *scope {
	s := &scope{block: b, at: at, depth: zone.Labels()}
	if b.acls != nil {
		s.acls = b.acls.rules(zone)
	}
	if h := b.hosts; h != nil {
		s.hosts, s.hostsThrough = h.zones.Contains(zone), h.fallthroughs.Contains(zone)
	}
	for _, a := range b.authorities {
		if i, labels, ok := a.zones.Match(zone); ok {
			s.served = append(s.served, servedZone{a, &a.infos[i], labels, a.fallthroughs.Contains(zone)})
		}
	}
	if c := b.cache; c != nil {
		s.caching = c.scope(zone)
	}
	for _, f := range b.forwarders {
		if !f.from.Contains(zone) {
			continue
		}
		if !f.except.Contains(zone) {
			s.forwards = append(s.forwards, f)
		}
		if f.takes(zone) {
			s.forwardsZone = append(s.forwardsZone, f)
		}
	}
	return s
}
