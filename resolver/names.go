package resolver

import (
	"fmt"
	"slices"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/skydns"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// named answers from names that something else publishes (zones.Names), for the zones of one directive.
type named struct {
	*authority
	place    *zones.NamesPlace
	unsynced func() string // texts of Extended DNS Errors
	absent   string
	partial  string
	source   *skydns.Source // of etcd; else nil
	cluster  *zones.Index   // which the names are of; nil for none
}

// newNamed is a named for zones, with ttl (seconds) for SOA records.
func newNamed(names []string, through Fallthrough, ttl uint32, source Source) (*named, error) {
	a := &authority{ttl: ttl}
	var err error
	if a.zones, err = zones.NewSet(names); err != nil {
		return nil, err
	}
	if a.fallthroughs, err = zones.NewSet(through.Zones); err != nil {
		return nil, fmt.Errorf("fallthrough: %w", err)
	}
	for _, name := range names {
		zone, err := wire.ParseName(name)
		if err != nil {
			return nil, err
		}
		a.infos = append(a.infos, zoneInfo{name: string(zone), source: source})
	}
	return &named{authority: a}, nil
}

// namedZone is a zone of a named that the names of a scope are in.
type namedZone struct {
	*named
	servedZone
}

// namedZones are the zones that zone is in.
func namedZones(all []*named, zone *wire.QName) (list []namedZone) {
	for _, n := range all {
		for _, served := range servedZones([]*authority{n.authority}, zone) {
			list = append(list, namedZone{n, served})
		}
	}
	return list
}

func answerNamed(r *Request, q *question, list []namedZone) result {
	for i := range list {
		if res := list[i].answer(r, q); res.outcome != pass {
			if cluster := list[i].cluster; cluster != nil {
				return r.aged(res, cluster.Snapshot().Stale())
			}
			return res
		}
	}
	return result{}
}

// answer answers q from the names that are published.
func (z *namedZone) answer(r *Request, q *question) result {
	names, source := z.place.Names(), z.info.source
	if names == nil {
		return failure(source, wire.ServerFailure, wire.NotReady, z.unsynced())
	}
	node, apex := names.Find(q.name, z.labels), q.name.Labels() == z.labels
	soa := soa{zone: &z.servedZone, serial: names.Serial, ttl: min(z.servedZone.ttl, maxSOATTL),
		negative: z.servedZone.ttl}
	switch {
	case node != nil || apex:
	case z.through:
		return result{}
	case names.Partial:
		return failure(source, wire.ServerFailure, wire.Other, z.partial)
	default:
		return result{outcome: nxdomain, source: source, authoritative: true, rcode: wire.NameError, info: wire.Other,
			words: z.absent, soa: soa}
	}
	if apex && q.wants(&r.Reply, wire.TypeSOA) {
		soa.write(&r.Reply, q)
	}
	if node != nil {
		for i := range node.RRsets {
			if q.wants(&r.Reply, node.RRsets[i].Type) {
				z.rrset(r, q, names, &node.RRsets[i])
			}
		}
	}
	switch {
	case !q.empty(&r.Reply) || r.Reply.Truncated():
		return result{outcome: answered, source: source, authoritative: true}
	case node != nil && node.Alias != "":
		return r.follow(q, source, node.AliasTTL, node.Alias)
	}
	return result{outcome: nodata, source: source, authoritative: true, info: wire.Other, words: edeNamesNoData, soa: soa}
}

// rrset adds an rrset and, as additional data, the addresses of its targets.
func (z *namedZone) rrset(r *Request, q *question, names *zones.Names, s *zones.RRset) {
	if size := addressSize(s.Type); size > 0 {
		r.rotated(q.owner, s.Type, s.TTL, s.Addr, size)
		return
	}
	for _, data := range s.Data {
		w := wire.Written{Type: s.Type, Class: wire.ClassIN, TTL: s.TTL, Data: data}
		if !r.Reply.AddAt(q.owner, &w) {
			return
		}
	}
	switch s.Type {
	case wire.TypeSRV:
		addTargets(&r.Reply, names, s, 6)
	case wire.TypeMX:
		addTargets(&r.Reply, names, s, 2)
	case wire.TypeNS:
		addTargets(&r.Reply, names, s, 0)
	}
}

// mostTargets is of how many records of an rrset the additional section has addresses: more than fit over UDP.
const mostTargets = 64

// addTargets adds the addresses of the names that s points to.
func addTargets(reply *wire.Reply, names *zones.Names, s *zones.RRset, skip int) {
	reply.Begin(wire.Additional)
	for i, data := range s.Data[:min(len(s.Data), mostTargets)] {
		target := data[skip:]
		again := func(other []byte) bool { return string(other[skip:]) == string(target) }
		node := names.Node(target)
		if node == nil || slices.ContainsFunc(s.Data[:i], again) {
			continue
		}
		for _, set := range node.RRsets {
			for size := addressSize(set.Type); size > 0 && set.Addr != ""; set.Addr = set.Addr[size:] {
				reply.AddRaw(target, set.Type, wire.ClassIN, set.TTL, []byte(set.Addr[:size]))
			}
		}
	}
}

// addressSize is the octets of an address in records of type t; 0 if they have none.
func addressSize(t wire.Type) int {
	switch t {
	case wire.TypeA:
		return 4
	case wire.TypeAAAA:
		return 16
	}
	return 0
}
