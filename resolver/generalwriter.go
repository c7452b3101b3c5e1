package resolver

import (
	"bytes"
	"slices"

	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// generalWriter writes the answer of one zone.
type generalWriter struct {
	*Request
	*question
	zone   *general.Zone
	labels int
	source Source
}

// answer follows RFC 1034 section 4.3.2.
func (w *generalWriter) answer(through bool) result {
	m := w.zone.Lookup(w.question.name, w.qtype)
	if m.Wild && w.noted.by != nil && w.noted.wildcard == "" {
		w.noted.wildcard = wire.NameString(m.Node.Owner())
	}
	res := result{outcome: answered, source: w.source, authoritative: true}
	switch m.Outcome {
	case general.Found:
		w.add(w.owner, w.question.name.Name(), m.RRset)
		w.servers(&m)
		w.targets(m.RRset, "")
	case general.Alias:
		return w.alias(&m)
	case general.Redirect:
		return w.redirect(&m)
	case general.Referral:
		w.refer(&m)
		res.authoritative = false
	case general.NoData:
		w.deny()
		res.outcome, res.words = nodata, edeZoneNoData
		_, zone := m.Node.RRset(wire.TypeNS)
		res.cut = zone && m.Labels > w.labels
	case general.NoName:
		if through {
			return result{}
		}
		w.deny()
		res.outcome, res.rcode, res.words = nxdomain, wire.NameError, edeZoneNoName
	}
	return res
}

// add adds an rrset, starting at another record in each reply if the block rotates, and reports whether it fit.
func (w *generalWriter) add(at wire.Offset, owner []byte, s general.RRset) bool {
	first := 0
	if w.rotate && turns(s.Type) {
		first = w.first(s.Count)
	}
	record := wire.Written{Owner: owner, Type: s.Type, Class: wire.ClassIN, TTL: s.TTL}
	ok := true
	for _, part := range [2][2]int{{first, s.Count}, {0, first}} {
		i := 0
		for data := range s.Data {
			if record.Data = data; ok && part[0] <= i && i < part[1] {
				ok = w.Reply.AddAt(at, &record)
			}
			i++
		}
	}
	return ok
}

// servers adds the name servers of the zone to the authority section, as CoreDNS does, if all of them fit.
func (w *generalWriter) servers(m *general.Match) {
	servers, ok := w.zone.Top().RRset(wire.TypeNS)
	if !ok || w.Reply.Truncated() || m.RRset.Type == wire.TypeNS && m.Labels == w.labels {
		return
	}
	mark := w.Reply.Mark()
	w.Reply.Begin(wire.Authority)
	if !w.add(w.apex(&w.Reply, w.labels), []byte(w.zone.Apex()), servers) {
		w.Reply.Rewind(mark)
	}
}

// mostTargetNames is how many names in an rrset get additional records: they are compared with each other.
const mostTargetNames = 32

// targets adds the addresses of the names that an rrset points to (RFC 1035 section 3.3, RFC 2782). Where cut is a name,
// the reply is TC without those at or below it (RFC 9471 section 3.1).
func (w *generalWriter) targets(s general.RRset, cut string) {
	before := 0
	switch s.Type {
	case wire.TypeNS:
	case wire.TypeMX:
		before = 2
	case wire.TypeSRV:
		before = 6
	default:
		return
	}
	w.Reply.Begin(wire.Additional)
	var seen [mostTargetNames][]byte
	n := 0
	for data := range s.Data {
		name := data[before:]
		if n == mostTargetNames || contains(seen[:n], name) {
			continue
		}
		seen[n] = name
		n++
		node, ok := w.zone.Target(name)
		if !ok {
			continue
		}
		for _, t := range addressTypes {
			if rrset, ok := node.RRset(t); ok && !w.add(0, name, rrset) && cut != "" && wire.Within(name, []byte(cut)) {
				w.Reply.SetFlags(wire.FlagTC)
			}
		}
	}
}

func contains(names [][]byte, name []byte) bool {
	for _, n := range names {
		if bytes.Equal(n, name) {
			return true
		}
	}
	return false
}

// alias answers with a CNAME record and goes on with its target.
func (w *generalWriter) alias(m *general.Match) result {
	if w.links == maxLinks {
		return w.brokenChain(w.source)
	}
	before := w.Reply.Len()
	if !w.add(w.owner, w.question.name.Name(), m.RRset) {
		return result{outcome: answered, source: w.source, authoritative: true}
	}
	return w.chase(w.question, w.source, m.RRset.Target(), w.dataAt(before))
}

// dataAt is where the data of the record at an offset of the reply is.
func (w *generalWriter) dataAt(before int) wire.Offset {
	owner, _ := wire.SkipName(w.Reply.Bytes(), before)
	return wire.Pointer(owner + 10)
}

// redirect answers a name below a DNAME with it and the CNAME that it makes (RFC 6672 section 3.1), and goes on with the
// target of that.
func (w *generalWriter) redirect(m *general.Match) result {
	res := result{outcome: answered, source: w.source, authoritative: true}
	if w.links == maxLinks {
		return w.brokenChain(w.source)
	}
	name, dname := w.question.name, m.Node.Name()
	again := slices.ContainsFunc(w.visited[:w.links], func(h hop) bool { return h.dname == dname }) // it is in the reply
	if !again && !w.add(w.apex(&w.Reply, m.Labels), m.Node.Owner(), m.RRset) {
		return res
	}
	var target [2 * wire.MaxName]byte
	size := copy(target[:], name.Between(0, name.Labels()-m.Labels))
	size += copy(target[size:], m.RRset.First())
	if size > wire.MaxName {
		res.outcome, res.rcode, res.info, res.words = failed, wire.YXDomain, wire.Other, edeZoneLongName
		return res
	}
	before := w.Reply.Len()
	cname := wire.Written{Owner: name.Name(), Type: wire.TypeCNAME, Class: wire.ClassIN, TTL: m.RRset.TTL,
		Data: target[:size]}
	if !w.Reply.AddAt(w.owner, &cname) || w.qtype == wire.TypeCNAME {
		return res
	}
	at := w.dataAt(before)
	w.Request.name.Set(target[:size])
	return w.lead(w.question, w.source, hop{dname: dname}, at)
}

// refer sends the client to the servers of a delegated zone (RFC 1034 section 4.3.2, step 3b), with its DS records if
// the client asks for such (RFC 4035 section 3.1.4).
func (w *generalWriter) refer(m *general.Match) {
	at := w.apex(&w.Reply, m.Labels)
	w.Reply.Begin(wire.Authority)
	if !w.add(at, m.Node.Owner(), m.RRset) {
		return
	}
	if ds, ok := m.Node.RRset(wire.TypeDS); ok && w.Query.DO {
		w.add(at, m.Node.Owner(), ds)
	}
	w.targets(m.RRset, string(m.Node.Owner()))
}

// deny adds the SOA of a denial (RFC 2308 section 3).
func (w *generalWriter) deny() {
	data, _, negative := w.zone.SOA()
	w.Reply.Begin(wire.Authority)
	w.Reply.AddAt(w.apex(&w.Reply, w.labels), &wire.Written{Owner: []byte(w.zone.Apex()), Type: wire.TypeSOA,
		Class: wire.ClassIN, TTL: negative, Data: data})
}
