package resolver

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// zoneFile is one zone of a directive file. It follows the file: what was read last goes on when it cannot be read.
type zoneFile struct {
	generalZone
	followed
}

// newZoneFile reads the file. A missing one is no error: it may appear later.
func newZoneFile(file, origin string, reload time.Duration, log *slog.Logger) (*zoneFile, error) {
	z := &zoneFile{}
	z.source = FromFile
	z.followed = followed{name: file, every: reload, log: log,
		complaint: "file: cannot read zone file, keeping the zone as it was"}
	z.take = func(content []byte, _ time.Time) error {
		zone, err := general.Read(file, origin, content)
		if err != nil {
			return err
		}
		if old := z.zone.Load(); old != nil && old.Serial() == zone.Serial() {
			z.log.Warn("file: the zone file has changed and its serial has not: it is not taken", "file", file,
				"zone", origin, "serial", zone.Serial())
			return nil
		}
		z.zone.Store(zone)
		return nil
	}
	z.load()
	return z, nil
}

// zoneFiles are the zones of the directives file of one server block.
type zoneFiles struct {
	zones    zones.Set
	files    []*zoneFile // by index in zones
	throughs []zones.Set
}

// newZoneFiles makes the zones of the block's directives file. Of several with one zone the first counts.
func (r *Resolver) newZoneFiles(b *block, log *slog.Logger) error {
	f := &zoneFiles{}
	var origins []string
	for _, o := range b.options.Files {
		through, err := zones.NewSet(o.Fallthrough.Zones)
		if err != nil {
			return fmt.Errorf("file: fallthrough: %w", err)
		}
		for _, origin := range o.Zones {
			if slices.Contains(origins, origin) {
				continue
			}
			z, err := obtain(r, "file", []any{o.File, origin, o.Reload}, func() (*zoneFile, error) {
				return newZoneFile(o.File, origin, o.Reload, log)
			})
			if err != nil {
				return err
			}
			z.load() // a reload reads what has changed
			origins, f.files, f.throughs = append(origins, origin), append(f.files, z), append(f.throughs, through)
		}
	}
	var err error
	f.zones, err = zones.NewSet(origins)
	b.files = f
	return err
}

// served is the zone that names in zone belong to; ok is false if there is none.
func (f *zoneFiles) served(zone *wire.QName) (served servedGeneral, ok bool) {
	i, labels, ok := f.zones.Match(zone)
	if !ok {
		return served, false
	}
	return servedGeneral{&f.files[i].generalZone, labels, f.throughs[i].Contains(zone)}, true
}

// generalZone is a zone of records, of whatever source. One goroutine stores it, many answer from it.
type generalZone struct {
	source Source
	zone   atomic.Pointer[general.Zone] // nil until it has been read
}

// servedGeneral is a zone of records that the names of a scope are in.
type servedGeneral struct {
	*generalZone
	labels  int  // of the zone's name
	through bool // names that do not exist go on to the next step
}

// answerGeneral answers q from the longest zone of records that its name is in.
func answerGeneral(r *Request, q *question) result {
	if q.scope.general == nil {
		return result{}
	}
	return q.scope.general.answer(r, q)
}

// answer answers q (RFC 1034 section 4.3.2).
func (z *servedGeneral) answer(r *Request, q *question) result {
	zone := z.zone.Load()
	if zone == nil {
		return failure(z.source, wire.ServerFailure, wire.NotReady, edeZoneUnread)
	}
	a := zone.Lookup(q.name, q.qtype)
	switch a.Outcome {
	case general.NXDomain:
		if z.through {
			return result{}
		}
		return z.deny(r, q, zone, result{outcome: nxdomain, rcode: wire.NameError, words: edeZoneNoName})
	case general.NoData:
		return z.deny(r, q, zone, result{outcome: nodata, words: edeZoneNoData})
	case general.Alias:
		target := a.Set.Data[0]
		at, ok := r.Reply.AddTarget(q.owner, wire.TypeCNAME, a.Set.TTL, target)
		if !ok {
			break
		}
		return r.chase(q, z.source, string(target), at)
	case general.Redirect:
		return z.redirect(r, q, &a)
	case general.Delegation:
		return z.refer(r, q, &a)
	default:
		r.addSet(q.owner, a.Set)
		r.addTargets(a.Set)
	}
	return result{outcome: answered, source: z.source, authoritative: true}
}

// deny adds the SOA, whose TTL says how long the denial may be kept (RFC 2308 section 3).
func (z *servedGeneral) deny(r *Request, q *question, zone *general.Zone, res result) result {
	r.Reply.Begin(wire.Authority)
	r.Reply.AddAt(q.apex(&r.Reply, z.labels),
		&wire.Written{Type: wire.TypeSOA, Class: wire.ClassIN, TTL: zone.NegativeTTL(), Data: zone.SOA().Data[0]})
	res.source, res.authoritative, res.info = z.source, true, wire.Other
	return res
}

// redirect follows a DNAME: the end of the name is replaced by its target (RFC 6672 section 3.1).
func (z *servedGeneral) redirect(r *Request, q *question, a *general.Answer) result {
	r.addSet(q.apex(&r.Reply, a.Labels), a.Set)
	before := q.name.Between(0, q.name.Labels()-a.Labels)
	target := slices.Concat(before, a.Set.Data[0])
	if len(target) > wire.MaxName {
		res := failure(z.source, wire.YXDomain, wire.Other, edeZoneLongName)
		res.authoritative = true
		return res
	}
	at, ok := r.Reply.AddTarget(q.owner, wire.TypeCNAME, a.Set.TTL, target)
	if !ok || q.qtype == wire.TypeCNAME {
		return result{outcome: answered, source: z.source, authoritative: true}
	}
	return r.chase(q, z.source, string(target), at)
}

// refer says which servers have the zone that the name is in, and their addresses as far as they are known here.
func (z *servedGeneral) refer(r *Request, q *question, a *general.Answer) result {
	owner := q.apex(&r.Reply, a.Labels)
	r.Reply.Begin(wire.Authority)
	r.addSet(owner, a.Set)
	if ds := a.Node.Set(typeDS); ds != nil && r.Query.DO {
		r.addSet(owner, ds)
	}
	if !r.addTargets(a.Set) {
		r.Reply.SetFlags(wire.FlagTC) // without glue a referral leads nowhere: RFC 9471 section 3.1
	}
	return result{outcome: failed, source: z.source}
}

// typeDS is defined in RFC 4034.
const typeDS wire.Type = 43

// addSet adds the records of a set to the current section, from another one on in each reply with loadbalance.
func (r *Request) addSet(owner wire.Offset, s *general.RRset) {
	first := 0
	if r.rotate && turns(s.Type) {
		first = r.first(len(s.Data))
	}
	for i := range s.Data {
		data := s.Data[(first+i)%len(s.Data)]
		if !r.Reply.AddAt(owner, &wire.Written{Type: s.Type, Class: wire.ClassIN, TTL: s.TTL, Data: data}) {
			return
		}
	}
}

// addTargets adds the addresses of the names that a set leads to, as far as there is room for all of a name. It reports
// whether there was for all.
func (r *Request) addTargets(s *general.RRset) bool {
	r.Reply.Begin(wire.Additional)
	for _, node := range s.Targets {
		for i := range node.Sets {
			set := &node.Sets[i]
			if set.Type != wire.TypeA && set.Type != wire.TypeAAAA {
				continue
			}
			size := 0
			for _, data := range set.Data {
				size += len(node.Name) + 10 + len(data)
			}
			if !r.Reply.Fits(size) {
				return false
			}
			for _, data := range set.Data {
				r.Reply.Add(&wire.Written{Owner: node.Name, Type: set.Type, Class: wire.ClassIN, TTL: set.TTL, Data: data})
			}
		}
	}
	return true
}
