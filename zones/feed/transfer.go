package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The times of one transfer: a primary that is slower is cut off.
const (
	messageTimeout  = 10 * time.Second // for each message
	transferTimeout = 15 * time.Minute // for all of them
)

var (
	errMalformed = errors.New("the transfer is malformed")
	errChanges   = errors.New("the changes do not fit the zone that they are of")
)

// transfer asks for the whole zone (AXFR, RFC 5936), or, with old, for what has changed since (IXFR, RFC 1995). changes
// says that the latter came.
func transfer(ctx context.Context, zone string, from netip.AddrPort, old *general.Zone) (z *general.Zone, changes bool,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, transferTimeout)
	defer cancel()
	dialer := net.Dialer{Timeout: askTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", from.String())
	if err != nil {
		return nil, false, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	query := new(dns.Msg).SetAxfr(zone)
	if old != nil {
		query = new(dns.Msg).SetIxfr(zone, old.Serial(), ".", ".")
	}
	query.RecursionDesired = false
	c := &dns.Conn{Conn: conn}
	conn.SetDeadline(time.Now().Add(messageTimeout))
	if err := c.WriteMsg(query); err != nil {
		return nil, false, err
	}
	apex, err := wire.ParseName(zone)
	if err != nil {
		return nil, false, err
	}
	t := &incoming{apex: apex, old: old}
	for first := true; !t.done; first = false {
		conn.SetDeadline(time.Now().Add(messageTimeout))
		message, err := c.ReadMsg()
		switch {
		case err != nil:
			return nil, false, err
		case message.Id != query.Id || !message.Response || message.Opcode != dns.OpcodeQuery:
			return nil, false, errMalformed
		case message.Rcode != dns.RcodeSuccess:
			return nil, false, fmt.Errorf("the transfer has rcode %s", dns.RcodeToString[message.Rcode])
		case len(message.Answer) == 0 || first && len(message.Question) == 1 && !asks(message, query):
			return nil, false, errMalformed
		}
		if err := t.records(message.Answer); err != nil {
			return nil, false, err
		}
	}
	return t.finish()
}

// asks reports whether both messages have the same question.
func asks(a, b *dns.Msg) bool {
	x, y := a.Question[0], b.Question[0]
	return dns.CanonicalName(x.Name) == dns.CanonicalName(y.Name) && x.Qtype == y.Qtype
}

// incoming reads the records of a transfer in order.
type incoming struct {
	apex    []byte
	old     *general.Zone    // nil if the whole zone was asked for
	serial  uint32           // of the first SOA, and so of the new zone
	count   int              // records so far
	builder *general.Builder // of a whole zone; nil before the second record of an IXFR
	changes *delta           // of an IXFR; nil for a whole zone
	first   wire.Written
	done    bool
}

// records takes in the records of one message.
func (t *incoming) records(list []dns.RR) error {
	for _, rr := range list {
		if t.done {
			return errMalformed // something behind the last SOA
		}
		record, err := Pack(rr)
		if err != nil {
			return err
		}
		record.Fold()
		if err := t.record(&record); err != nil {
			return err
		}
		t.count++
	}
	if t.old != nil && t.count == 1 && !t.done && t.serial == t.old.Serial() {
		t.done = true // one SOA: nothing has changed
	}
	return nil
}

func (t *incoming) record(w *wire.Written) error {
	soa := w.Type == wire.TypeSOA && bytes.Equal(w.Owner, t.apex)
	switch {
	case t.count == 0:
		if !soa {
			return errMalformed
		}
		t.serial, t.first = serialOf(w), *w
		return nil
	case t.count == 1 && t.old != nil && soa && serialOf(w) == t.old.Serial():
		t.changes = newDelta(t.old)
	case t.count == 1:
		t.builder = general.NewBuilder(t.apex)
		if err := t.builder.Add(&t.first); err != nil {
			return err
		}
	}
	if t.changes != nil {
		return t.change(w, soa)
	}
	if soa {
		if t.done = serialOf(w) == t.serial; !t.done {
			return errMalformed
		}
		return nil
	}
	return t.builder.Add(w)
}

// change takes in a record of an IXFR: deletions behind an SOA with the old serial, additions behind one with the next
// (RFC 1995 section 4).
func (t *incoming) change(w *wire.Written, soa bool) error {
	d := t.changes
	switch {
	case soa && !d.adding && !d.begun:
		d.begun = true // the old SOA
	case soa && !d.adding:
		d.adding, d.serial = true, serialOf(w)
		d.soa = *w
	case soa && d.serial == t.serial:
		t.done = true
	case soa:
		if serialOf(w) != d.serial {
			return errChanges
		}
		d.adding = false
	case d.adding:
		return d.add(w)
	default:
		return d.drop(w)
	}
	return nil
}

func serialOf(w *wire.Written) uint32 {
	d := w.Data[len(w.Data)-20:]
	return uint32(d[0])<<24 | uint32(d[1])<<16 | uint32(d[2])<<8 | uint32(d[3])
}

// finish makes the zone.
func (t *incoming) finish() (z *general.Zone, changes bool, err error) {
	switch {
	case t.changes != nil:
		z, err = t.changes.build(t.apex)
		return z, true, err
	case t.builder == nil:
		return t.old, true, nil
	}
	z, err = t.builder.Build()
	return z, false, err
}

// delta is a zone whose records change.
type delta struct {
	records map[string]uint32 // TTL by owner, type and data
	octets  int
	soa     wire.Written
	serial  uint32
	begun   bool // the first SOA of deletions has come
	adding  bool
}

func newDelta(z *general.Zone) *delta {
	d := &delta{records: make(map[string]uint32, z.Records())}
	for owner, r := range z.Contents {
		d.put(key(owner, r.Type, r.Data), r.TTL)
	}
	return d
}

// key is owner, type and data in one.
func key(owner []byte, t wire.Type, data []byte) string {
	k := make([]byte, 0, len(owner)+2+len(data))
	return string(append(append(append(k, owner...), byte(t>>8), byte(t)), data...))
}

func (d *delta) put(k string, ttl uint32) {
	d.records[k] = ttl
	d.octets += len(k)
}

func (d *delta) add(w *wire.Written) error {
	d.put(key(w.Owner, w.Type, w.Data), w.TTL)
	if len(d.records) > general.MostRecords || d.octets > 2*general.MostOctets {
		return general.ErrSize
	}
	return nil
}

func (d *delta) drop(w *wire.Written) error {
	k := key(w.Owner, w.Type, w.Data)
	if _, ok := d.records[k]; !ok {
		return errChanges
	}
	delete(d.records, k)
	d.octets -= len(k)
	return nil
}

func (d *delta) build(apex []byte) (*general.Zone, error) {
	b := general.NewBuilder(apex)
	if err := b.Add(&d.soa); err != nil {
		return nil, err
	}
	for k, ttl := range d.records {
		at := 0
		for k[at] != 0 {
			at += 1 + int(k[at])
		}
		at++
		w := wire.Written{Owner: []byte(k[:at]), Type: wire.Type(k[at])<<8 | wire.Type(k[at+1]), Class: wire.ClassIN,
			TTL: ttl, Data: []byte(k[at+2:])}
		if err := b.Add(&w); err != nil {
			return nil, err
		}
	}
	return b.Build()
}
