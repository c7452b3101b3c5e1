package resolver

import (
	"sync"
	"time"
)

// shard is the part of a cache for some of the questions.
type shard struct {
	mu     sync.Mutex
	halves [2]half // success, denial
	counts CacheCounts
	_      [64]byte // puts the next shard's mutex on another cache line
}

// place is where an entry is kept.
type place struct {
	half kind // success or denial
	hash uint64
}

// postpone keeps entries that could not be refreshed from being fetched again with every query (failure recheck timer,
// RFC 8767 section 5).
func (s *shard) postpone(hash uint64, k *cacheKey, retry time.Time) {
	for i := range s.halves {
		if e := s.halves[i].entries.find(hash); e != nil && e.is(k) {
			e.retry = retry
		}
	}
}

// put adds e.
func (s *shard) put(at place, e *entry) {
	h := &s.halves[at.half]
	if old := h.entries.find(at.hash); old != nil {
		e.seen, e.hits = old.seen, old.hits
	}
	s.counts.Evictions[at.half] += h.add(at.hash, e)
}

// drop removes what was known of a name and type before an answer came, but not what is in the place that the answer
// will take.
func (s *shard) drop(hash uint64, taken place) {
	for _, at := range [...]place{{success, hash}, {denial, hash}, {denial, hash ^ failureSalt}} {
		if e := s.halves[at.half].entries.find(at.hash); e != nil && at != taken {
			s.halves[at.half].remove(e)
		}
	}
}
