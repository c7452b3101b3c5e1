package resolver

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// shard is the part of a cache for some of the names. All types of a name are in one shard.
type shard struct {
	mu     sync.Mutex
	halves [2]half // success, denial
	counts CacheCounts
	_      [64]byte // puts the next shard's mutex on another cache line
}

// half holds the answers or the denials of a shard, within bounds of its own.
type half struct {
	lru    *simplelru.LRU[uint64, *entry]
	size   int
	budget int
}

func (h *half) init(capacity, shards int) {
	capacity = (capacity + shards - 1) / shards
	h.budget = max(capacity*entryBudget, minShardBudget)
	h.lru, _ = simplelru.NewLRU(capacity, func(_ uint64, e *entry) { h.size -= e.size() })
}

// postpone keeps entries that could not be refreshed from being fetched again with every query (failure recheck timer,
// RFC 8767 section 5).
func (s *shard) postpone(nameHash, typeHash uint64, name string, now time.Time) {
	for i, at := range [...]uint64{typeHash, typeHash, nameHash} {
		if e, ok := s.halves[min(i, 1)].lru.Peek(at); ok && e.name == name {
			e.retry = now.Add(staleRecheck)
		}
	}
}

// put adds e and makes room for it. The largest message fits into the smallest budget.
func (s *shard) put(k kind, hash uint64, e *entry) {
	h := &s.halves[k]
	if old, ok := h.lru.Peek(hash); ok {
		e.seen, e.hits = old.seen, old.hits
		h.lru.Remove(hash)
	}
	for h.lru.Len() > 0 && h.size+e.size() > h.budget {
		h.lru.RemoveOldest()
		s.counts.Evictions[k]++
	}
	h.size += e.size()
	if h.lru.Add(hash, e) {
		s.counts.Evictions[k]++
	}
}

// drop removes the entries that e contradicts, but not the one that e will replace.
func (s *shard) drop(nameHash, typeHash uint64, e *entry) {
	half, at := e.place(nameHash, typeHash)
	if half != success {
		s.halves[success].lru.Remove(typeHash)
	}
	for _, other := range [...]uint64{typeHash, nameHash, typeHash ^ failureSalt} {
		if half != denial || other != at {
			s.halves[denial].lru.Remove(other)
		}
	}
}
