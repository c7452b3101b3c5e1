package resolver

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	dnskeyTTL = 3600 // of DNSKEY records, as in CoreDNS

	// keysReload is how often the files of keys are looked at. It is longer than they may be replaced in parts.
	keysReload = 10 * time.Second
)

// dnssec signs answers on their way out (directive dnssec). It is the outermost wrapper, so that it signs what clients
// see. Any number of goroutines may use it.
type dnssec struct {
	zones   zones.Set
	names   []string // of the zones, in wire form, as in zones
	options Dnssec
	ring    atomic.Pointer[keyring]
	purse   purse
	log     *slog.Logger

	refused atomic.Uint64 // answers that would have taken more signing than there is time for
	failed  atomic.Uint64 // readings of changed keys that were not taken
	hits    atomic.Uint64
	misses  atomic.Uint64

	mu    sync.Mutex // guards what follows, and readings of the keys
	seen  []fileMark // of the files that were read last
	fault string     // why they are not taken; "" if they are
}

func newDnssec(o Dnssec, log *slog.Logger) (d *dnssec, err error) {
	d = &dnssec{options: o, log: log}
	for _, zone := range o.Zones {
		name, err := parseName(zone)
		if err != nil {
			return nil, err
		}
		d.names = append(d.names, string(name.Name()))
	}
	if d.zones, err = zones.NewSet(o.Zones); err != nil {
		return nil, err
	}
	d.purse.init()
	ring, seen, err := d.read()
	if err != nil {
		return nil, fmt.Errorf("dnssec: %w", err)
	}
	d.ring.Store(ring)
	d.seen = seen
	return d, nil
}

// run reads the keys again when their files change, until ctx ends.
func (d *dnssec) run(ctx context.Context) { feed.Every(ctx, keysReload, d.load) }

// load takes the keys if their files have changed. If they cannot be used, those from before go on.
func (d *dnssec) load() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unchanged() {
		return
	}
	ring, seen, err := d.read()
	if err != nil {
		if d.fault != err.Error() {
			d.fault = err.Error()
			d.failed.Add(1)
			d.log.Warn("dnssec: the changed keys are not taken, and those from before go on", "error", err)
		}
		return
	}
	d.fault, d.seen = "", seen
	d.ring.Store(ring)
	d.log.Info("dnssec: new keys", "keys", ring.String())
}

// answer has answers signed for clients that ask for signatures, and answers questions for the keys.
func (d *dnssec) answer(r *Request, q *question) result {
	if !q.scope.signed || q.class != wire.ClassIN {
		return result{}
	}
	if r.Query.DO && !r.wrappedBy(d) {
		r.wrap(d, q)
	}
	switch i, labels, _ := d.zones.Match(q.name); {
	case q.qtype == wire.TypeNXNAME:
		return failure(FromDnssec, wire.FormatError, wire.InvalidQueryType, edeNXNAME)
	case q.qtype != wire.TypeDNSKEY || labels != q.name.Labels():
		return result{}
	default:
		for _, data := range d.ring.Load().public {
			r.Reply.AddAt(q.owner, &wire.Written{Owner: []byte(d.names[i]), Type: wire.TypeDNSKEY, Class: wire.ClassIN,
				TTL: dnskeyTTL, Data: data})
		}
		return result{outcome: answered, source: FromDnssec, authoritative: true}
	}
}

// after signs the answer.
func (d *dnssec) after(r *Request, w *wrapped, res result) (again bool) {
	r.Reply.Compact()
	if rcode := r.Reply.Rcode; rcode != wire.NoError && rcode != wire.NameError || r.Reply.Truncated() {
		return false
	}
	if r.signing == nil {
		r.signing = new(signing)
	}
	s := r.signing
	s.reset(d, r)
	s.collect(w)
	s.deny(w, res)
	r.Reply.TakeBack(w.mark)
	if s.sign() {
		s.write()
		return false
	}
	d.refused.Add(1)
	r.Reply.Rewind(w.mark)
	r.Reply.Rcode = wire.ServerFailure
	r.Reply.Explain(wire.Other, edeManySigned)
	return false
}

// count is its counters.
func (d *dnssec) count() DnssecCounts {
	return DnssecCounts{Entries: d.ring.Load().entries(), Hits: d.hits.Load(), Misses: d.misses.Load(),
		Refused: d.refused.Load(), Failed: d.failed.Load()}
}

// DnssecCounts are the counters of one dnssec.
type DnssecCounts struct {
	Entries int    // signatures that are kept
	Hits    uint64 // rrsets whose signatures were kept
	Misses  uint64 // rrsets that had to be signed
	Refused uint64 // answers that would have taken more signing than there is time for
	Failed  uint64 // readings of changed keys that were not taken
}
