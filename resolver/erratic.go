package resolver

import (
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// erratic answers questions for addresses, and drops, delays and truncates some, for tests of clients (directive
// erratic).
type erratic struct {
	Erratic
	asked atomic.Uint64
}

// treatment is what becomes of one question at erratic.
type treatment struct {
	late bool // it waits before it is answered
	cut  bool // the answer says that it is truncated
}

// erraticIPv6 is an address for documentation (RFC 3849), and those of IPv4 are, too (RFC 5737), as in CoreDNS.
var erraticIPv6 = []byte{0x20, 0x01, 0x0d, 0xb8, 15: 0x53}

// answer decides what becomes of the question. A delay is a wait without a goroutine, as for an upstream.
func (e *erratic) answer(r *Request, q *question) result {
	n := e.asked.Add(1) - 1
	if every(n, e.Drop) {
		return result{outcome: drop}
	}
	q.treated = treatment{late: every(n, e.Delay), cut: e.Truncate > 0 && n&e.Truncate == 0} // by its bits, as CoreDNS does
	if q.treated.late {
		return result{outcome: pending}
	}
	return e.write(r, q)
}

// every reports whether the question is the first of as many; never for 0.
func every(n, many uint64) bool { return many > 0 && n%many == 0 }

// wait has w wait for the delay.
func (e *erratic) wait(r *Request, w *Wait) result {
	w.keep(r)
	if left, limited := r.left(); limited && left < e.Duration {
		w.endAfter(left, cancelled)
	} else {
		w.endAfter(e.Duration, interrupted())
	}
	return result{outcome: pending}
}

// write answers the question now.
func (e *erratic) write(r *Request, q *question) result {
	switch q.qtype {
	case wire.TypeA:
		e.addIPv4(r, q)
	case wire.TypeAAAA:
		r.Reply.AddAt(q.owner, &wire.Written{Class: wire.ClassIN, Type: wire.TypeAAAA, Data: erraticIPv6})
	default:
		return failure(FromErratic, wire.ServerFailure, wire.Other, edeErratic)
	}
	if q.treated.cut {
		r.Reply.SetFlags(wire.FlagTC)
	}
	return result{outcome: answered, source: FromErratic, authoritative: true}
}

// addIPv4 adds one address or many. CoreDNS repeats one of them, which is no rrset (RFC 2181 section 5).
func (e *erratic) addIPv4(r *Request, q *question) {
	data := [...]byte{192, 0, 2, 53}
	record := wire.Written{Class: wire.ClassIN, Type: wire.TypeA, Data: data[:]}
	records := 1
	if e.Large {
		records = largeAnswer
	}
	for range records {
		r.Reply.AddAt(q.owner, &record)
		data[3]++
	}
}

// largeAnswer is the records of a large answer: about as many as 512 octets have room for.
const largeAnswer = 30
