package resolver

import "slices"

// A half of a shard chooses what to keep so that names which are asked for once cannot push out those that are asked for
// again and again (S3-FIFO, Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023). A new entry
// is on probation, in a queue that gets a tenth of the room when room is short. At its end an entry that was asked for
// again moves to the kept ones, and any other goes and leaves a fingerprint; an answer whose fingerprint is still there
// is kept at once. The kept ones are a queue too: at its end an entry goes back to the start, once for each time that it
// was asked for, of which maxUses are counted. A hit only counts: no entry moves and nothing is allocated.
const (
	maxUses        = 3
	probationShare = 10 // one part in so many
	ghostRatio     = 4  // fingerprints for each entry, of 4 octets
	ghostWays      = 8  // fingerprints that are searched
)

// half holds the answers or the denials of a shard, within bounds of its own.
type half struct {
	entries   entries
	probation queue
	kept      queue
	capacity  int // entries
	budget    int // octets
	ghosts    []uint32
}

func (h *half) init(capacity, shards int) {
	h.capacity = (capacity + shards - 1) / shards
	h.budget = max(h.capacity*entryBudget, minShardBudget)
}

// size is the octets that the half holds.
func (h *half) size() int { return h.probation.size + h.kept.size }

// add adds e under hash, in the place of an entry that is there, and makes room for it. It returns how many entries had
// to go. The largest message fits into the smallest budget.
func (h *half) add(hash uint64, e *entry) (evicted uint64) {
	e.at, e.kept = hash, h.remembers(hash)
	if old := h.entries.find(hash); old != nil {
		e.uses, e.kept = old.uses, true // asked for again after its TTL
		h.remove(old)
	}
	for h.entries.count > 0 && (h.entries.count >= h.capacity || h.size()+e.size() > h.budget) {
		h.evict()
		evicted++
	}
	h.entries.put(hash, e)
	h.of(e).push(e)
	return evicted
}

// remove removes e, which is there.
func (h *half) remove(e *entry) {
	h.of(e).remove(e)
	h.entries.remove(e.at)
}

// of is the queue that e is in.
func (h *half) of(e *entry) *queue {
	if e.kept {
		return &h.kept
	}
	return &h.probation
}

// evict makes room: by an entry on probation if there are more than their share, else by a kept one.
func (h *half) evict() {
	for {
		fromProbation := h.probation.len > h.capacity/probationShare ||
			h.probation.size > h.budget/probationShare || h.kept.len == 0
		e := h.kept.oldest
		if fromProbation {
			e = h.probation.oldest
		}
		if e.uses == 0 {
			h.remove(e)
			if fromProbation {
				h.remember(e.at)
			}
			return
		}
		h.of(e).remove(e)
		e.uses--
		e.kept = true
		h.kept.push(e)
	}
}

// remember keeps the fingerprint of an entry that goes.
func (h *half) remember(hash uint64) {
	if h.ghosts == nil { // nothing has gone before
		h.ghosts = make([]uint32, max(h.capacity*ghostRatio/ghostWays, 1)*ghostWays)
	}
	row := h.ghostsNear(hash)
	copy(row[1:], row)
	row[0] = uint32(hash)
}

// remembers reports whether the entry with this hash has gone not long ago.
func (h *half) remembers(hash uint64) bool {
	return h.ghosts != nil && slices.Contains(h.ghostsNear(hash), uint32(hash))
}

// ghostsNear are the fingerprints among which that of hash is, the newest first.
func (h *half) ghostsNear(hash uint64) []uint32 {
	row := int(hash>>40) % (len(h.ghosts) / ghostWays) * ghostWays
	return h.ghosts[row : row+ghostWays]
}

// queue is entries in the order in which they came, linked by their fields older and newer.
type queue struct {
	oldest, newest *entry
	len, size      int // entries, octets
}

func (q *queue) push(e *entry) {
	e.older, e.newer = q.newest, nil
	if q.newest != nil {
		q.newest.newer = e
	} else {
		q.oldest = e
	}
	q.newest = e
	q.len++
	q.size += e.size()
}

func (q *queue) remove(e *entry) {
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		q.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		q.newest = e.older
	}
	e.older, e.newer = nil, nil
	q.len--
	q.size -= e.size()
}
