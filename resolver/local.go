package resolver

import (
	"fmt"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// local answers names that mean the machine itself, which no other server knows (directive local, RFC 6761 section 6.3
// and RFC 6303 section 4).
type local struct {
	options  Local
	zones    zones.Set
	loopback string        // 1.0.0.127.in-addr.arpa, in wire form
	count    atomic.Uint64 // questions for names that are localhost with other labels
}

// localTTL is that of all its records, in seconds, as in CoreDNS.
const localTTL = 7 * 86400

// The data of its records: the names are localhost and root.localhost.
const (
	localA    = "\x7f\x00\x00\x01"
	localAAAA = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	localName = "\x09localhost\x00"
	localSOA  = localName + "\x04root" + localName + "\x00\x00\x00\x01" + // serial
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x09\x3a\x80" // MINIMUM: localTTL
)

func newLocalNames(o *Local) (*local, error) {
	set, err := zones.NewSet([]string{"localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."})
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	loopback, err := wire.ParseName("1.0.0.127.in-addr.arpa")
	return &local{options: *o, zones: set, loopback: string(loopback)}, err
}

// answer answers q if its name is localhost, below localhost, or begins with it, or is in the reverse zones.
func (l *local) answer(r *Request, q *question) result {
	zone, labels, ok := l.zones.Match(q.name)
	prefixed := q.name.Labels() > 1 && string(q.name.Label(0)) == "localhost" && !l.options.NoPrefix
	if !ok && !prefixed || q.class != wire.ClassIN && q.class != wire.ClassANY {
		return result{}
	}
	apex := ok && q.name.Labels() == labels
	res := result{outcome: answered, source: FromLocal}
	switch {
	case !apex && (prefixed || zone == 0):
		l.count.Add(1)
		l.addresses(r, q)
	case apex && q.wants(&r.Reply, wire.TypeSOA):
		r.Reply.AddRecord(q.owner, wire.TypeSOA, localTTL, localSOA)
	case apex && q.qtype == wire.TypeNS:
		r.Reply.AddRecord(q.owner, wire.TypeNS, localTTL, localName)
	case apex && zone == 0:
		l.addresses(r, q)
	case string(q.name.Name()) == l.loopback && q.wants(&r.Reply, wire.TypePTR):
		r.Reply.AddRecord(q.owner, wire.TypePTR, localTTL, localName)
	case !apex && string(q.name.Name()) != l.loopback:
		res.outcome, res.rcode = nxdomain, wire.NameError
	}
	if q.empty(&r.Reply) && !r.Reply.Truncated() {
		l.deny(r, q, labels, !apex && (prefixed || zone == 0))
		if res.outcome == answered {
			res.outcome = nodata
		}
		res.info, res.words = wire.Other, edeLocal
	}
	return res
}

// addresses adds the loopback address that q asks for.
func (l *local) addresses(r *Request, q *question) {
	if q.wants(&r.Reply, wire.TypeA) {
		r.Reply.AddRecord(q.owner, wire.TypeA, localTTL, localA)
	}
	if q.wants(&r.Reply, wire.TypeAAAA) {
		r.Reply.AddRecord(q.owner, wire.TypeAAAA, localTTL, localAAAA)
	}
}

// deny adds the SOA of the zone, which has so many labels, or of the name itself.
func (l *local) deny(r *Request, q *question, labels int, itself bool) {
	owner := q.owner
	if !itself {
		owner = q.apex(&r.Reply, labels)
	}
	r.Reply.Begin(wire.Authority)
	r.Reply.AddRecord(owner, wire.TypeSOA, localTTL, localSOA)
}
