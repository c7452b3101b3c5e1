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
	traced   bool // a block wants their stacks in the log; nobody knows which one a panic is of
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

// zoneTable gives each zone of each view a slot in the tallies. Slots are never taken back, so that counters go on over
// a reload; their number is bounded by the zones that were ever configured.
type zoneTable struct {
	mu  sync.Mutex
	all []zoneLabels
}

// zoneLabels are the labels of a slot.
type zoneLabels struct{ zone, view string }

func (t *zoneTable) slot(labels zoneLabels) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) == 0 {
		t.all = append(t.all, zoneLabels{zone: dropped})
	}
	if i := slices.Index(t.all, labels); i >= 0 {
		return i
	}
	t.all = append(t.all, labels)
	return len(t.all) - 1
}

// bySlot is the labels of all slots.
func (t *zoneTable) bySlot() []zoneLabels {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clip(t.all)
}

// compile prepares blocks for packets.
func (l *Listener) compile(answerer Answerer, blocks []Block) *serving {
	s := &serving{answerer: answerer, zones: l.zones.slot(zoneLabels{zone: dropped}) + 1}
	for _, block := range blocks {
		served := servedBlock{log: logs.Compile(block.Log, block.Client)}
		for _, zone := range block.Zones {
			slot := l.zones.slot(zoneLabels{strings.ToLower(zone), block.View})
			s.zones = max(s.zones, slot+1)
			if !block.Metrics {
				slot = noSlot
			}
			served.slots = append(served.slots, slot)
		}
		s.crash, s.traced = s.crash || block.Crash, s.traced || block.Traced
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
