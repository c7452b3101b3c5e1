package server

import (
	"math/bits"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Label values of metrics are numbers until a scrape. The families are CoreDNS's: 1 is IPv4, 2 is IPv6.
const (
	families   = 2
	rcodes     = 25 // 0 to 23 as IANA assigns them, and one for all others
	sources    = 16
	otherRcode = rcodes - 1
)

// typeNames are the qtypes with a label of their own, as in CoreDNS; all others are "other", so that a client cannot make series.
var typeNames = [...]string{"other", "A", "AAAA", "ANY", "AXFR", "CNAME", "DNSKEY", "DS", "HTTPS", "IXFR", "MX", "NS", "NSEC", "NSEC3",
	"PTR", "RRSIG", "SOA", "SRV", "SVCB", "TXT"}

// typeIndex is the index in typeNames of the qtypes below 256.
var typeIndex = [256]uint8{1: 1, 28: 2, 255: 3, 252: 4, 5: 5, 48: 6, 43: 7, 65: 8, 251: 9, 15: 10, 2: 11, 47: 12, 50: 13,
	12: 14, 46: 15, 6: 16, 33: 17, 64: 18, 16: 19}

// sizeBounds are CoreDNS's buckets of message sizes.
var sizeBounds = [...]float64{0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3}

// timeBuckets is the number of CoreDNS's buckets of durations: 0.25 ms, doubled from one to the next, up to 8.192 s.
const (
	timeBuckets = 16
	firstTime   = 250 * time.Microsecond
)

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
		proto:     uint8(r.Proto),
		do:        r.Query.DO,
	}
	if r.Query.Type < wire.Type(len(typeIndex)) {
		f.typ = typeIndex[r.Query.Type]
	}
	if !r.Client.Addr().Is4() && !r.Client.Addr().Is4In6() {
		f.family = 1
	}
	return f
}

// tally holds the counters of one worker. Its worker adds once for each batch, after the replies are sent, and only a scrape ever
// contends for the lock: so the counters are plain, and share no cache line with another worker.
type tally struct {
	mu     sync.Mutex
	zones  []zoneCounts // by slot
	silent uint64       // packets without an answer: responses, runts, what a rule drops
	_      [64]byte
}

// zoneCounts are the counters of one zone.
type zoneCounts struct {
	requests  [len(transports)][families][len(typeNames)]uint64
	responses [rcodes][sources]uint64
	do        uint64
	duration  timeHistogram
	size      [len(transports)]sizeHistogram
	replySize [len(transports)]sizeHistogram
}

type timeHistogram struct {
	buckets [timeBuckets + 1]uint64
	sum     time.Duration
}

type sizeHistogram struct {
	buckets [len(sizeBounds) + 1]uint64
	sum     uint64
}

func (h *timeHistogram) add(d time.Duration) {
	h.buckets[min(bits.Len64(uint64(max(d-1, 0)/firstTime)), timeBuckets)]++
	h.sum += d
}

func (h *sizeHistogram) add(size uint16) {
	i := 0
	for i < len(sizeBounds) && float64(size) > sizeBounds[i] {
		i++
	}
	h.buckets[i]++
	h.sum += uint64(size)
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
		zone.duration.add(elapsed)
		zone.size[f.proto].add(f.size)
		zone.replySize[f.proto].add(f.replySize)
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
		addEach(z.size[p].buckets[:], o.size[p].buckets[:])
		addEach(z.replySize[p].buckets[:], o.replySize[p].buckets[:])
		z.size[p].sum += o.size[p].sum
		z.replySize[p].sum += o.replySize[p].sum
	}
	for r := range o.responses {
		addEach(z.responses[r][:], o.responses[r][:])
	}
	addEach(z.duration.buckets[:], o.duration.buckets[:])
	z.duration.sum += o.duration.sum
	z.do += o.do
}

func addEach(to, from []uint64) {
	for i, n := range from {
		to[i] += n
	}
}
