package listen

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
)

// serving is what packets are answered from, until a reload exchanges it as a whole.
type serving struct {
	answerer Answerer
	blocks   []servedBlock
	crash    bool // a block wants panics to end the process
	zones    int  // slots that a tally needs

	users sync.WaitGroup // queries that wait for upstream, and batches of TCP
}

// batchTime is longer than any batch of datagrams takes: none of them waits for anything.
const batchTime = 100 * time.Millisecond

// settle returns when nobody uses s any more, some time after another one has taken its place.
func (s *serving) settle() {
	time.Sleep(batchTime)
	s.users.Wait()
}

type servedBlock struct {
	slots []int // of its zones
	log   logs.Rules
}

// dropped is CoreDNS's zone label for queries that no block was found for. Without a final dot it cannot be a zone.
const dropped = "dropped"

const droppedSlot = 0

// noSlot marks queries that are not measured.
const noSlot = -1

// zoneTable gives each zone a slot in the tallies. Slots are never taken back, so that counters go on over a reload;
// their number is bounded by the zones that were ever configured.
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

// compile prepares blocks for packets.
func (l *Listener) compile(answerer Answerer, blocks []Block) *serving {
	s := &serving{answerer: answerer, zones: l.zones.slot(dropped) + 1}
	for _, block := range blocks {
		served := servedBlock{log: logs.Compile(block.Log)}
		for _, zone := range block.Zones {
			slot := l.zones.slot(strings.ToLower(zone))
			s.zones = max(s.zones, slot+1)
			if !block.Metrics {
				slot = noSlot
			}
			served.slots = append(served.slots, slot)
		}
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
	return b.slots[request.Zone]
}
