package resolver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// transferSize is how large the messages of a transfer grow: below what a secondary may refuse, above what names cost over and over.
const transferSize = 16 << 10

// transferRule says who may have the zones of a block whole (directive transfer). By default nobody.
type transferRule struct {
	*ZoneTransfer
	zones zoneSet
}

func newTransferRules(options []ZoneTransfer) ([]transferRule, error) {
	var rules []transferRule
	for i := range options {
		zones, err := newZoneSet(options[i].Zones)
		if err != nil {
			return nil, fmt.Errorf("transfer: %w", err)
		}
		rules = append(rules, transferRule{&options[i], zones})
	}
	return rules, nil
}

// allows reports whether client may have the zone called name.
func (t *transferRule) allows(name *wire.QName, client netip.Addr) bool {
	return t.zones.contains(name) && (t.Any || slices.ContainsFunc(t.To, func(to netip.AddrPort) bool { return to.Addr() == client.Unmap() }))
}

// mayTransfer reports whether a rule of the block allows client the zone called name.
func (b *block) mayTransfer(name *wire.QName, client netip.Addr) bool {
	return slices.ContainsFunc(b.transfers, func(t transferRule) bool { return t.allows(name, client) })
}

// transfer answers AXFR (RFC 5936) and IXFR (RFC 1995) of a zone of ours. There is no history: who has the current serial gets a single
// SOA, anybody else the whole zone, which needs TCP.
func (b *block) transfer(r *Request, q question) step {
	a, z := b.apexOf(q.name)
	if a == nil || !b.mayTransfer(q.name, r.Client.Addr()) {
		return r.refuse(wire.Prohibited, "this client may not transfer this zone (directive transfer)")
	}
	q.zone = q.name.Labels()
	snapshot := z.index.Snapshot()
	switch {
	case !snapshot.Synced(zones.ServiceKinds):
		return r.notReady()
	case r.Query.Type == wire.TypeIXFR && (r.Proto == UDP || current(&r.Query, snapshot.Serial())):
		r.Source = FromKubernetes
		r.Reply.SetFlags(wire.FlagAA)
		a.soa(r, q, snapshot)
		return done
	case r.Proto == UDP:
		return r.refuse(wire.Prohibited, "AXFR needs TCP")
	}
	return stream
}

// apexOf is the authority of the zone that name is the apex of; nil when it is none.
func (b *block) apexOf(name *wire.QName) (*authority, *zone) {
	for _, a := range b.authorities {
		if value, labels, ok := a.zones.match(name); ok && labels == name.Labels() {
			return a, &a.detail[value]
		}
	}
	return nil, nil
}

// current reports whether an IXFR query's authority section says that its sender has serial or a later one (RFC 1982).
func current(q *wire.Query, serial uint32) bool {
	data := q.Authority()
	if len(data) < 20 {
		return false
	}
	has := binary.BigEndian.Uint32(data[len(data)-20:])
	return int32(has-serial) >= 0
}

// SendZone sends the zone that Answer said Transfer to, message by message, all of one snapshot: the SOA first and last (RFC 5936
// section 2.2). It ends early when send fails. buf is scratch.
func (r *Resolver) SendZone(request *Request, buf []byte, send func(message []byte) error) error {
	b := r.begin(request, buf)
	a, z := b.apexOf(&request.Query.QName)
	if a == nil {
		return nil // a reload took the zone away in between
	}
	snapshot := z.index.Snapshot()
	t := transferring{r: request, a: a, snapshot: snapshot, send: send, buf: buf,
		q: question{name: &request.Query.QName, owner: wire.AtQName, zone: request.Query.Labels()}}
	request.Source = FromKubernetes
	t.begin()
	a.soa(request, t.q, snapshot)
	t.apex(z)
	if z.reverse {
		snapshot.Pointers(request.Query.Name(), a.svc, t.add)
	} else {
		snapshot.Contents(z.svc, t.add)
	}
	if !request.Reply.Fits(soaSize) {
		t.flush()
	}
	a.soa(request, t.q, snapshot)
	t.flush()
	return t.err
}

// soaSize is more than any SOA record of ours takes.
const soaSize = 128 + wire.MaxName

// transferring is one transfer under way.
type transferring struct {
	r        *Request
	a        *authority
	q        question
	snapshot *zones.Snapshot
	send     func([]byte) error
	buf      []byte
	err      error
}

// begin starts the next message.
func (t *transferring) begin() {
	t.r.Reply.Start(&t.r.Query, t.buf, transferSize, defaultBufsize)
	t.r.Reply.SetFlags(wire.FlagAA)
}

// flush sends the message and begins the next.
func (t *transferring) flush() {
	if t.err == nil {
		t.err = t.send(t.r.Reply.Finish())
	}
	t.begin()
}

// add adds one record of the zone. It reports false when the rest need not come.
func (t *transferring) add(owner []byte, typ wire.Type, data []byte) bool {
	if !t.r.Reply.Fits(len(owner) + 10 + len(data)) {
		t.flush()
	}
	t.r.Reply.Owned(owner, typ, wire.ClassIN, t.a.ttl, data)
	return t.err == nil
}

// apex adds what is at and directly below the zone's own name: dns-version, NS, the name servers' addresses. The name servers of a
// reverse zone have their names, and so their addresses, in the cluster's zone.
func (t *transferring) apex(z *zone) {
	apex := t.r.Query.Name()
	below := func(labels string) []byte { return append([]byte(labels), apex...) }
	if !z.reverse { // the first message has room for it behind the SOA
		t.r.Reply.Owned(below(labelsVersion), wire.TypeTXT, wire.ClassIN, versionTTL, append([]byte{byte(len(z.version))}, z.version...))
	}
	snapshot := t.a.fronting(z, t.snapshot)
	fronted := t.a.fronts(t.r, snapshot, func(n *zones.Node) { t.add(apex, wire.TypeNS, []byte(n.Name()+n.Unit().Owner()+z.servers)) })
	if !fronted {
		t.add(apex, wire.TypeNS, []byte(z.ns))
	}
	if z.reverse {
		return
	}
	for _, typ := range addressTypes {
		t.a.serverAddresses(t.r, snapshot, typ, func(packed string) bool { return t.add(below(labelsNS), typ, []byte(packed)) })
	}
}
