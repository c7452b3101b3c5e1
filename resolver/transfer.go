package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// transferSize limits the messages of a transfer in octets: small enough that no secondary refuses them, and large
// enough that the names they repeat cost little.
const transferSize = 16 << 10

// transferRule says who may transfer zones of a block (directive transfer). Without rules nobody may.
type transferRule struct {
	*ZoneTransfer
	zones zones.Set
}

// newTransferRules compiles the directives.
func newTransferRules(options []ZoneTransfer) ([]transferRule, error) {
	var rules []transferRule
	for i := range options {
		set, err := zones.NewSet(options[i].Zones)
		if err != nil {
			return nil, fmt.Errorf("transfer: %w", err)
		}
		rules = append(rules, transferRule{&options[i], set})
	}
	return rules, nil
}

// allows reports whether client may transfer the zone called name.
func (t *transferRule) allows(name *wire.QName, client netip.Addr) bool {
	if !t.zones.Contains(name) {
		return false
	}
	return t.Any || slices.ContainsFunc(t.To, func(to netip.AddrPort) bool { return to.Addr() == client.Unmap() })
}

// mayTransfer reports whether a rule of the block allows client to transfer the zone called name.
func (b *block) mayTransfer(name *wire.QName, client netip.Addr) bool {
	return slices.ContainsFunc(b.transfers, func(t transferRule) bool { return t.allows(name, client) })
}

// transfer answers AXFR (RFC 5936) and IXFR (RFC 1995). There is no history: a client with the current serial gets a
// single SOA, and any other the whole zone. A whole zone needs TCP; IXFR over UDP therefore gets the SOA alone, which
// tells the client to try TCP (RFC 1995 section 2).
func (b *block) transfer(r *Request, q *question) result {
	if q.qtype != wire.TypeAXFR && q.qtype != wire.TypeIXFR {
		return result{}
	}
	if b.acls != nil {
		if res := b.acls.check(r, q); res.outcome != pass {
			return res
		}
	}
	z := q.apexZone()
	place, source := q.apexPlace()
	if z == nil && place == nil || !b.mayTransfer(q.name, r.Client.Addr()) {
		return r.refuse(wire.Prohibited, edeTransferRefused)
	}
	if z == nil {
		return r.transferGeneral(q, place, source)
	}
	snapshot := z.info.index.Numbered()
	if !snapshot.Synced(zones.ServiceKinds) {
		snapshot = z.info.index.Snapshot() // SendZone waits until it has a serial of its own
	}
	datagram := !r.Proto.Transfers()
	switch {
	case !snapshot.Synced(zones.ServiceKinds):
		return z.notReady()
	case q.qtype == wire.TypeIXFR && (datagram || current(&r.Query, snapshot.Serial())):
		soa := z.soa(snapshot)
		soa.write(&r.Reply, q)
		return result{outcome: answered, source: z.info.source, authoritative: true}
	case datagram:
		return r.refuse(wire.Prohibited, edeTransferDatagram)
	}
	return result{outcome: transfer}
}

// apexZone is the served zone whose apex is the question's name; nil if there is none.
func (q *question) apexZone() *servedZone {
	for _, list := range [...][]servedZone{q.scope.external, q.scope.served} {
		for i := range list {
			if z := &list[i]; z.labels == q.name.Labels() {
				return z
			}
		}
	}
	return nil
}

// current reports whether the SOA in an IXFR query has the given serial or a later one (RFC 1982).
func current(q *wire.Query, serial uint32) bool {
	data := q.Authority()
	if len(data) < 20 {
		return false
	}
	has := binary.BigEndian.Uint32(data[len(data)-20:])
	return int32(has-serial) >= 0
}

// SendZone sends the zone for which Answer returned Transfer, message by message, all from one snapshot, with the SOA
// first and last (RFC 5936 section 2.2). It ends early if send fails. buf is scratch.
func (r *Resolver) SendZone(request *Request, buf []byte, send func(message []byte) error) error {
	q := &request.question
	request.rotate = false
	z := q.apexZone()
	if z == nil {
		return sendGeneral(request, send, buf)
	}
	snapshot := numbered(z.info.index)
	if snapshot == nil {
		return errUnnumbered
	}
	t := transferWriter{messages: messages{r: request, send: send, buf: buf}, zone: z, snapshot: snapshot, q: q}
	request.Source = z.info.source
	t.begin()
	t.soa()
	switch t.apex(); {
	case z.info.external != nil:
		t.snapshot.ExternalContents(z.info.svc, z.info.external.Headless, t.add)
	case z.info.reverse:
		t.snapshot.PTRs(q.name.Name(), z.svc, t.add)
	default:
		t.snapshot.Contents(z.info.svc, t.add)
	}
	if !request.Reply.Fits(soaSize) {
		t.flush()
	}
	t.soa()
	t.flush()
	return t.err
}

// firstSerial is how long a transfer waits for the first serial of an index, which is given at the full second after the
// cluster has been read. It is longer than that: secondaries that get SERVFAIL come back after a minute or more.
const firstSerial = 2 * time.Second

var errUnnumbered = errors.New("the zone has no serial yet")

// numbered is the content of an index that has a serial; nil if that does not come in time, as when a reload has
// replaced the source.
func numbered(index *zones.Index) *zones.Snapshot {
	late := time.After(firstSerial)
	for {
		changed := index.Changed()
		if s := index.Numbered(); s.Synced(zones.ServiceKinds) {
			return s
		}
		select {
		case <-changed:
		case <-late:
			return nil
		}
	}
}

// soaSize is more than any SOA record of ours takes, in octets.
const soaSize = 128 + 2*wire.MaxName

// transferWriter writes one transfer.
type transferWriter struct {
	messages
	zone     *servedZone
	q        *question
	snapshot *zones.Snapshot
}

// messages are those of one transfer.
type messages struct {
	r    *Request
	send func([]byte) error
	buf  []byte
	err  error
}

// soa adds the SOA of the snapshot.
func (t *transferWriter) soa() {
	soa := t.zone.soa(t.snapshot)
	soa.write(&t.r.Reply, t.q)
}

// begin starts the next message.
func (t *messages) begin() {
	t.r.Reply.Start(&t.r.Query, t.buf, transferSize, DefaultBufsize)
	t.r.Reply.SetFlags(wire.FlagAA)
}

// flush sends the message and begins the next one.
func (t *messages) flush() {
	if t.err == nil {
		t.err = t.send(t.r.Reply.Finish())
	}
	t.begin()
}

// record adds one record. It reports false when the transfer has failed.
func (t *messages) record(owner []byte, typ wire.Type, ttl uint32, data []byte) bool {
	size := len(owner) + 10 + len(data)
	if !t.r.Reply.Fits(size) {
		t.flush()
	}
	if size > t.r.Reply.Room() { // larger than all others
		t.r.Reply.Start(&t.r.Query, t.buf, wire.MaxMessage, DefaultBufsize)
		t.r.Reply.SetFlags(wire.FlagAA)
	}
	t.r.Reply.AddRaw(owner, typ, wire.ClassIN, ttl, data)
	return t.err == nil
}

// add adds one record of the zone. It reports false when the transfer has failed.
func (t *transferWriter) add(owner []byte, typ wire.Type, data []byte) bool {
	return t.record(owner, typ, t.zone.ttl, data)
}

// apex adds the records at and directly below the zone's own name: dns-version, NS, and the addresses of name servers.
// The name servers of a reverse zone are named, and have their addresses, in the cluster's zone.
func (t *transferWriter) apex() {
	if t.zone.info.external != nil {
		t.externalApex()
		return
	}
	z, apex := t.zone.info, t.q.name.Name()
	below := func(labels string) []byte { return append([]byte(labels), apex...) }
	if !z.reverse { // it fits into the first message, behind the SOA
		version := append([]byte{byte(len(z.version))}, z.version...)
		t.r.Reply.AddRaw(below(labelsVersion), wire.TypeTXT, wire.ClassIN, versionTTL, version)
	}
	snapshot := t.zone.fronting(z, t.snapshot)
	servers := t.zone.fronts(t.r, snapshot)
	for i := range servers {
		n := &servers[i]
		t.add(apex, wire.TypeNS, []byte(n.Name()+n.Service().Owner()+z.frontSVC))
	}
	if len(servers) == 0 {
		t.add(apex, wire.TypeNS, []byte(z.ns))
	}
	if z.reverse {
		return
	}
	for _, typ := range addressTypes {
		t.zone.serverAddresses(t.r, snapshot, typ, func(addr netip.Addr) bool {
			return t.add(below(labelsNS), typ, addr.AsSlice())
		})
	}
}

// transferGeneral answers AXFR and IXFR of a zone of file, auto or secondary, as transfer does.
func (r *Request) transferGeneral(q *question, place *general.Place, source Source) result {
	zone, datagram := place.Zone(), r.Proto.Datagram()
	switch {
	case zone == nil:
		return failure(source, wire.ServerFailure, wire.NotReady, edeNoZone[source])
	case q.qtype == wire.TypeIXFR && (datagram || current(&r.Query, zone.Serial())):
		data, ttl, _ := zone.SOA()
		r.Reply.AddAt(q.owner, &wire.Written{Owner: q.name.Name(), Type: wire.TypeSOA, Class: wire.ClassIN, TTL: ttl,
			Data: data})
		return result{outcome: answered, source: source, authoritative: true}
	case datagram:
		return r.refuse(wire.Prohibited, edeTransferDatagram)
	}
	return result{outcome: transfer}
}

var errNoZone = errors.New("the zone has gone")

// sendGeneral sends a zone of file, auto or secondary.
func sendGeneral(request *Request, send func(message []byte) error, buf []byte) error {
	place, source := request.question.apexPlace()
	if place == nil {
		return errNoZone
	}
	zone := place.Zone()
	if zone == nil {
		return errNoZone
	}
	request.Source = source
	t := messages{r: request, send: send, buf: buf}
	data, ttl, _ := zone.SOA()
	t.begin()
	t.record([]byte(zone.Apex()), wire.TypeSOA, ttl, data)
	for owner, record := range zone.Contents {
		if !t.record(owner, record.Type, record.TTL, record.Data) {
			return t.err
		}
	}
	t.record([]byte(zone.Apex()), wire.TypeSOA, ttl, data)
	t.flush()
	return t.err
}
