package listen

import (
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver"
)

// Label values of metrics are numbers until a scrape.
const (
	rcodes     = 25 // 0 to 23 as IANA assigns them, and one for all others
	sources    = 32
	otherRcode = rcodes - 1
)

// families are CoreDNS's names of the address families: IPv4 and IPv6.
var families = [...]string{"1", "2"}

// sizeBounds are CoreDNS's bounds of message sizes, in octets.
var sizeBounds = []int64{0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3}

// timeBounds are CoreDNS's bounds of durations, in nanoseconds: 0.25 ms, doubled from one to the next, up to 8.192 s.
var timeBounds = observe.Doubling(int64(250*time.Microsecond), 16)

// fact is what metrics keep of one query until its batch is counted.
type fact struct {
	slot      int32
	size      uint16
	replySize uint16
	rcode     uint8
	typ       uint8
	source    uint8
	proto     uint8
	family    uint8
	do        bool
}

func makeFact(r *resolver.Request, slot, replySize int) fact {
	f := fact{
		slot:      int32(slot),
		size:      uint16(len(r.Query.Packet)),
		replySize: uint16(replySize),
		rcode:     uint8(min(r.Reply.Rcode, otherRcode)),
		source:    uint8(min(r.Source, sources-1)),
		proto:     uint8(r.Proto.Carrier()),
		typ:       resolver.TypeLabel(r.Query.Type),
		do:        r.Query.DO,
	}
	if !r.Client.Addr().Is4() && !r.Client.Addr().Is4In6() {
		f.family = 1
	}
	return f
}

// tally holds the counters of one worker. Its worker adds once for each batch, after the replies are sent, and only a
// scrape ever contends for the lock: so the counters are plain, and share no cache line with another worker.
type tally struct {
	mu     sync.Mutex
	zones  []zoneCounts // by slot
	silent uint64       // packets without an answer: responses, runts, what a rule drops
	_      [64]byte
}

// zoneCounts are the counters of one zone.
type zoneCounts struct {
	requests  [resolver.Carriers][len(families)][len(resolver.TypeLabels)]uint64
	responses [rcodes][sources]uint64
	do        uint64
	duration  observe.Histogram                    // by timeBounds
	size      [resolver.Carriers]observe.Histogram // by sizeBounds
	replySize [resolver.Carriers]observe.Histogram // by sizeBounds
}

// add counts a batch whose queries took elapsed. zones is how many slots there may be.
func (t *tally) add(facts []fact, silent int, elapsed time.Duration, zones int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.zones) < zones {
		t.zones = append(t.zones, zoneCounts{})
	}
	t.silent += uint64(silent)
	for i := range facts {
		f := &facts[i]
		zone := &t.zones[f.slot]
		zone.requests[f.proto][f.family][f.typ]++
		zone.responses[f.rcode][f.source]++
		if f.do {
			zone.do++
		}
		zone.duration.Observe(timeBounds, int64(elapsed))
		zone.size[f.proto].Observe(sizeBounds, int64(f.size))
		zone.replySize[f.proto].Observe(sizeBounds, int64(f.replySize))
	}
}

// addTo adds the counters of t to sum.
func (t *tally) addTo(sum *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(sum.zones) < len(t.zones) {
		sum.zones = append(sum.zones, zoneCounts{})
	}
	for i := range t.zones {
		sum.zones[i].addAll(&t.zones[i])
	}
	sum.silent += t.silent
}

func (z *zoneCounts) addAll(o *zoneCounts) {
	for p := range o.requests {
		for f := range o.requests[p] {
			addEach(z.requests[p][f][:], o.requests[p][f][:])
		}
		z.size[p].Add(&o.size[p])
		z.replySize[p].Add(&o.replySize[p])
	}
	for r := range o.responses {
		addEach(z.responses[r][:], o.responses[r][:])
	}
	z.duration.Add(&o.duration)
	z.do += o.do
}

func addEach(to, from []uint64) {
	for i, n := range from {
		to[i] += n
	}
}
