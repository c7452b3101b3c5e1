package resolver

import (
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// ednsSupport is what has been learned of whether an upstream takes queries with EDNS. One that rejects them, fails at
// them or drops them is asked without for a while (RFC 6891 section 7): everybody's queries would take their detour.
// Any reply with an OPT ends that.
type ednsSupport struct {
	seen    atomic.Int64 // when a reply last had an OPT, in nanoseconds since 1970
	doubts  atomic.Int32 // queries in a row that were answered without EDNS and not with it
	without atomic.Int64 // until when queries have no OPT, in nanoseconds since 1970; 0 for no such time
}

const (
	// ednsPause is how long an upstream is asked without EDNS: long, because the query that tries again may cost half a
	// read timeout, and not for ever, because without EDNS there is no DNSSEC and no UDP reply above 512 octets.
	ednsPause = 5 * time.Minute

	// ednsFresh is how long a reply with an OPT proves that the upstream takes EDNS. After that, silence is met by asking
	// without; a longer time would leave an upstream that has changed silent for as long.
	ednsFresh = 10 * time.Second

	// ednsDoubts is how many doubts in a row make a fact. One is made by a packet that is lost.
	ednsDoubts = 2
)

// wanted reports whether a query at now has an OPT. When a pause is over, one query tries, and the others go on without
// for as long as that may take.
func (e *ednsSupport) wanted(now time.Time) bool {
	until := e.without.Load()
	if now.UnixNano() < until {
		return false
	}
	return until == 0 || e.without.CompareAndSwap(until, now.Add(forwardTimeout).UnixNano())
}

// confirm notes a reply with an OPT.
func (e *ednsSupport) confirm(now time.Time) {
	e.seen.Store(now.UnixNano())
	e.doubts.Store(0)
	e.without.Store(0)
}

// sure reports whether a query that is left without reply has not been dropped for its OPT: the upstream has answered
// others a short time ago.
func (e *ednsSupport) sure(now time.Time) bool {
	return now.UnixNano()-e.seen.Load() < int64(ednsFresh)
}

// doubt notes that a query with EDNS had no answer, or failed, and the same one without had one.
func (e *ednsSupport) doubt(now time.Time) {
	if e.doubts.Add(1) >= ednsDoubts {
		e.deny(now)
	}
}

// deny notes that the upstream takes no queries with EDNS.
func (e *ednsSupport) deny(now time.Time) { e.without.Store(now.Add(ednsPause).UnixNano()) }

// paused reports whether queries have no OPT at now.
func (e *ednsSupport) paused(now time.Time) bool { return now.UnixNano() < e.without.Load() }

// rejectsEDNS reports whether m may be about the OPT of the query rather than about the question: a server that knows
// EDNS answers an OPT with an OPT, also when it fails (RFC 6891 section 7).
func (m *message) rejectsEDNS(hasOPT bool) bool {
	switch m.rcode {
	case wire.BadVers:
		return true
	case wire.FormatError, wire.NotImp, wire.ServerFailure:
		return !hasOPT
	}
	return false
}
