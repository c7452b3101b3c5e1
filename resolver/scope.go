package resolver

import (
	"slices"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// scope is everything that the longest zone of a name decides: its server block, and which directives of the block
// apply. Every name is looked up once, and one lookup finds the scope, because the set of zones holds all names in all
// directives. A scope never changes.
type scope struct {
	block *block
	at    blockZone
	depth int // labels of that zone

	view      *view  // the scope is for queries that it matches; nil for all
	otherwise *scope // for other queries; nil if no block is for them

	signed       bool // dnssec is for the name
	autopath     bool // autopath is for the name
	search       bool // search is for the name
	acls         []*aclRules
	templates    []templateScope
	hosts        bool // hosts answers for the name
	hostsThrough bool // names that hosts does not have go on to the next step
	external     []servedZone
	gateway      []namedZone
	served       []servedZone
	generals     []generalScope
	etcd         []namedZone
	caching      cachePolicy
	forwards     []*forwarder // for names below the zone
	forwardsZone []*forwarder // for the zone's own name: `except` does not apply to the name that a forward is for
}

// blockZone is a server block's index in Options.Blocks, and the index of one of its zones.
type blockZone struct{ block, zone int }

// scopes are the scopes of a listening address, or of one server block.
type scopes struct {
	zones zones.Set
	list  []*scope // by index in zones; nil for zones outside of all blocks
}

// of is the scope of name; nil if no block has the name.
func (s *scopes) of(name *wire.QName) *scope {
	if i, _, ok := s.zones.Match(name); ok {
		return s.list[i]
	}
	return nil
}

// newScopes makes the scope of each name with find.
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

// compileScopes makes the scopes of all zones that blocks serve or that their directives name. If a directive names a
// zone of another block, that block decides.
func compileScopes(blocks []*block) (scopes, error) {
	o := owners{blocks: blocks}
	var all []string
	for i, b := range blocks {
		for j, zone := range b.options.Zones {
			o.add(zone, blockZone{i, j})
		}
		all = append(all, b.names()...)
	}
	var err error
	if o.zones, err = zones.NewSet(o.names); err != nil {
		return scopes{}, err
	}
	return newScopes(append(all, o.names...), func(zone *wire.QName) *scope { return o.scope(zone, zone) })
}

// owners are the server blocks by their zones.
type owners struct {
	blocks []*block
	names  []string // of the zones
	zones  zones.Set
	at     [][]blockZone // by index in names: several if blocks have views
}

func (o *owners) add(zone string, at blockZone) {
	i := slices.Index(o.names, zone)
	if i < 0 {
		i = len(o.names)
		o.names, o.at = append(o.names, zone), append(o.at, nil)
	}
	o.at[i] = append(o.at[i], at)
}

// scope is the scope of zone by the first block that has at, which is zone or above it. Where a block has a view, the
// scope leads to that of the next block, and at last to those of shorter zones.
func (o *owners) scope(zone, at *wire.QName) *scope {
	i, labels, ok := o.zones.Match(at)
	if !ok {
		return nil
	}
	var first *scope
	last := &first
	for _, at := range o.at[i] {
		*last = o.blocks[at.block].scope(zone, at)
		o.adopt((*last).generals, zone)
		if (*last).view == nil {
			return first
		}
		last = &(*last).otherwise
	}
	if labels > 0 {
		above := new(wire.QName)
		above.Set(at.Suffix(at.Labels() - labels + 1))
		*last = o.scope(zone, above)
	}
	return first
}

// names are all names in the block's directives.
func (b *block) names() (all []string) {
	add := func(lists ...[]string) {
		for _, list := range lists {
			all = append(all, list...)
		}
	}
	o := b.options
	if o.Dnssec != nil {
		add(o.Dnssec.Zones)
	}
	if o.Autopath != nil {
		add(o.Autopath.Zones)
	}
	if o.Search != nil {
		add(o.Search.Zones)
	}
	for _, a := range o.ACLs {
		add(a.Zones)
	}
	for _, t := range o.Templates {
		add(t.Zones, t.Fallthrough.Zones)
	}
	if h := o.Hosts; h != nil {
		add(h.Zones, h.Fallthrough.Zones)
	}
	for _, e := range o.Externals {
		add(e.Zones, e.Fallthrough.Zones)
	}
	for i := range o.Gateways {
		add(o.Gateways[i].Zones, o.Gateways[i].Fallthrough.Zones)
	}
	for i := range o.Etcd {
		add(o.Etcd[i].Zones, o.Etcd[i].Fallthrough.Zones)
	}
	for _, k := range o.Kubernetes {
		add(k.Zones, k.Fallthrough.Zones)
	}
	for _, f := range o.Files {
		add(f.Zones, f.Fallthrough.Zones)
	}
	for _, f := range o.Folders {
		add(f.Zones)
	}
	for _, s := range o.Secondaries {
		add(s.Zones, s.Fallthrough.Zones)
	}
	if c := o.Cache; c != nil {
		add(c.Zones, c.DisableSuccess, c.DisableDenial)
	}
	for _, f := range o.Forwards {
		add([]string{f.From}, f.Except)
	}
	return all
}

// scope is what the block's directives decide for zone and the names below it.
func (b *block) scope(zone *wire.QName, at blockZone) *scope {
	s := &scope{block: b, at: at, depth: zone.Labels(), view: b.view}
	if b.dnssec != nil {
		s.signed = b.dnssec.zones.Contains(zone)
	}
	if b.autopath != nil {
		s.autopath = b.autopath.zones.Contains(zone)
	}
	if b.search != nil {
		s.search = b.search.zones.Contains(zone)
	}
	if b.acls != nil {
		s.acls = b.acls.rules(zone)
	}
	if b.templates != nil {
		s.templates = b.templates.scope(zone)
	}
	if h := b.hosts; h != nil {
		s.hosts, s.hostsThrough = h.zones.Contains(zone), h.fallthroughs.Contains(zone)
	}
	s.external, s.served = servedZones(b.externals, zone), servedZones(b.authorities, zone)
	if b.generals != nil {
		s.generals = b.generals.scope(zone)
	}
	s.gateway, s.etcd = namedZones(b.gateways, zone), namedZones(b.etcds, zone)
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

// servedZones are the zones of authorities that zone is in.
func servedZones(authorities []*authority, zone *wire.QName) (list []servedZone) {
	for _, a := range authorities {
		if i, labels, ok := a.zones.Match(zone); ok {
			list = append(list, servedZone{a, &a.infos[i], labels, a.fallthroughs.Contains(zone)})
		}
	}
	return list
}
