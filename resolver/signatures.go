package resolver

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"time"
)

// signed is the data of the RRSIG records of an rrset, which does not change.
type signed struct {
	records [][]byte
	until   int64 // Unix time from which they are made anew
}

// rrsetKey is a digest of the zone, the owner, the type and the data of an rrset.
type rrsetKey [sha256.Size]byte

// signatureShards are a power of two.
const signatureShards = 16

// signatures keeps signatures by what they sign. The oldest gives way to a new one.
type signatures struct {
	shards [signatureShards]signatureShard
}

type signatureShard struct {
	mu   sync.Mutex
	all  map[rrsetKey]*signed
	ring []rrsetKey // in the order in which they came
	next int        // where the oldest is, once ring is full
	most int
	_    [64]byte // puts the next shard's mutex on another cache line
}

func (s *signatures) init(capacity int) {
	for i := range s.shards {
		s.shards[i].all, s.shards[i].most = map[rrsetKey]*signed{}, max(capacity/signatureShards, 1)
	}
}

func (s *signatures) shard(key *rrsetKey) *signatureShard { return &s.shards[key[0]%signatureShards] }

// get is what is kept for key, if it is good for long enough.
func (s *signatures) get(key *rrsetKey, now int64) *signed {
	h := s.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	if found := h.all[*key]; found != nil && now < found.until {
		return found
	}
	return nil
}

// put keeps made for key.
func (s *signatures) put(key *rrsetKey, made *signed) {
	h := s.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	_, there := h.all[*key]
	h.all[*key] = made
	switch {
	case there:
	case len(h.ring) < h.most:
		h.ring = append(h.ring, *key)
	default:
		delete(h.all, h.ring[h.next])
		h.ring[h.next] = *key
		h.next = (h.next + 1) % h.most
	}
}

func (s *signatures) len() (n int) {
	for i := range s.shards {
		h := &s.shards[i]
		h.mu.Lock()
		n += len(h.all)
		h.mu.Unlock()
	}
	return n
}

// The time that may be spent on signing: half of what the processors have, since a client can ask for as many names as
// it likes, and each costs a signature; and half of that for the clients of one slot, so that one that asks for names
// without end leaves the rest to the others. What is not used is saved up for as long as purseSaved.
const (
	purseShare = 2
	purseSlots = 256
	purseSaved = 200 * time.Millisecond
)

// purse is the time that is left for signing.
type purse struct {
	busy chan struct{} // has a place for each processor: as many goroutines sign at a time

	mu    sync.Mutex
	all   savings
	slots [purseSlots]savings
}

// savings is time that was saved up until some moment.
type savings struct {
	left time.Duration
	at   time.Time
}

func (p *purse) init() { p.busy = make(chan struct{}, runtime.GOMAXPROCS(0)) }

// take takes the time cost for a client, and reports whether there is so much left.
func (p *purse) take(slot uint8, cost time.Duration, now time.Time) bool {
	share := cap(p.busy)
	p.mu.Lock()
	defer p.mu.Unlock()
	all, one := &p.all, &p.slots[slot]
	all.save(now, share, purseShare)
	one.save(now, share, purseShare*purseShare)
	if all.left < 0 || one.left < 0 {
		return false
	}
	all.left -= cost
	one.left -= cost
	return true
}

// save adds what has been earned since the last call: that many processors, divided.
func (s *savings) save(now time.Time, processors, divided int) {
	most := purseSaved * time.Duration(processors) / time.Duration(divided)
	earned := most
	if passed := now.Sub(s.at); passed < purseSaved {
		earned = max(passed, 0) * time.Duration(processors) / time.Duration(divided)
	}
	s.left = min(s.left+earned, most)
	if now.After(s.at) {
		s.at = now
	}
}

// giveBack returns time that was not needed.
func (p *purse) giveBack(slot uint8, cost time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all.left += cost
	p.slots[slot].left += cost
}
