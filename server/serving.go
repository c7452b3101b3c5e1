package server

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Answerer turns queries into replies. *resolver.Resolver is one. Any number of goroutines call it.
type Answerer interface {
	// Answer answers a packet from memory. It must not block or allocate: a reader of packets waits for it.
	Answer(request *resolver.Request, packet, buf []byte) ([]byte, resolver.Result)
	// Resume goes on with a query that Answer has said Pending to. It may block until ctx ends.
	Resume(ctx context.Context, request *resolver.Request) ([]byte, resolver.Result)
	// SendZone calls send with each message of a zone transfer that Answer has said Transfer to.
	SendZone(request *resolver.Request, buf []byte, send func(message []byte) error) error
}

// Block is what a listener does around the answers of one server block. Its index is the one in resolver.Options.Blocks.
type Block struct {
	Zones   []string   // as in resolver.Block
	Metrics bool       // its queries are counted (directive prometheus)
	Log     []logs.Log // the first that matches a query writes its line (directive log)
	Crash   bool       // a panic ends the process instead of one query (directive debug)
}

// serving is what packets are answered from, until a reload exchanges it whole.
type serving struct {
	answerer Answerer
	blocks   []servedBlock
	crash    bool // a block wants panics to end the process
	zones    int  // slots that a tally needs
}

type servedBlock struct {
	zones   []servedZone // the longest first, so that the first match is the closest
	metrics bool
	log     logs.Rules
}

type servedZone struct {
	name []byte // wire form, lower case
	slot int
}

// dropped is CoreDNS's zone label for queries that no block was found for. Without a final dot it cannot be a zone.
const dropped = "dropped"

const droppedSlot = 0

// noSlot marks queries that are not measured.
const noSlot = -1

// zoneTable gives each zone a slot in the tallies. Slots are never taken back, so that counters go on over a reload; their number is
// bounded by the zones that were ever configured.
type zoneTable struct {
	mu    sync.Mutex
	names []string
}

func (t *zoneTable) slot(zone string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.names) == 0 {
		t.names = append(t.names, dropped)
	}
	if i := slices.Index(t.names, zone); i >= 0 {
		return i
	}
	t.names = append(t.names, zone)
	return len(t.names) - 1
}

// all is the zones by slot.
func (t *zoneTable) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clip(t.names)
}

// compile makes blocks ready for packets. A zone that is not a name, which config does not let through, matches nothing.
func (l *Listener) compile(answerer Answerer, blocks []Block) *serving {
	s := &serving{answerer: answerer, zones: l.zones.slot(dropped) + 1}
	for _, block := range blocks {
		served := servedBlock{metrics: block.Metrics, log: logs.Compile(block.Log)}
		for _, zone := range block.Zones {
			name, err := wire.ParseName(zone)
			if err != nil {
				continue
			}
			slot := l.zones.slot(strings.ToLower(zone))
			s.zones = max(s.zones, slot+1)
			served.zones = append(served.zones, servedZone{name, slot})
		}
		slices.SortStableFunc(served.zones, func(a, b servedZone) int { return wire.Labels(b.name) - wire.Labels(a.name) })
		s.crash = s.crash || block.Crash
		s.blocks = append(s.blocks, served)
	}
	return s
}

// block is the server block that request was answered in, nil when there was none.
func (s *serving) block(request *resolver.Request) *servedBlock {
	if request.Block < 0 || request.Block >= len(s.blocks) {
		return nil
	}
	return &s.blocks[request.Block]
}

// slot is where request is counted.
func (b *servedBlock) slot(request *resolver.Request) int {
	if b == nil {
		return droppedSlot
	}
	if !b.metrics {
		return noSlot
	}
	for i := range b.zones {
		if len(b.zones) == 1 || within(&request.Query, b.zones[i].name) {
			return b.zones[i].slot
		}
	}
	return droppedSlot
}

// within reports whether the qname is at or below zone.
func within(q *wire.Query, zone []byte) bool {
	labels := wire.Labels(zone)
	return labels <= q.Labels() && bytes.Equal(q.Suffix(q.Labels()-labels), zone)
}
