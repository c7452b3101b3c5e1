package traffic

import (
	"cmp"
	"slices"
)

// Count is how often a key was seen: between N-Over and N times.
type Count struct {
	Key  string
	N    uint64
	Over uint64 // how much too high N may be
	Note string // of the sample that brought the key into the table
}

// Least is how often the key was seen at least.
func (c *Count) Least() uint64 { return c.N - c.Over }

// top is a Space-Saving summary (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in
// Data Streams, 2005) with weights: the keys that are seen most, in bounded memory. A key that is not in a full table
// takes the place of the one with the smallest count, and that count with it.
type top struct {
	limit   int
	evicted *uint64 // is counted up by keys that others displace
	heap    []Count // the smallest count first
	at      map[string]int
}

func newTop(limit int, evicted *uint64) *top {
	return &top{limit: limit, evicted: evicted, at: map[string]int{}}
}

// add counts a key n more times. It keeps neither key nor note.
func (t *top) add(key []byte, n uint64, note []byte) {
	if i, known := t.at[string(key)]; known {
		t.heap[i].N += n
		t.down(i)
		return
	}
	t.insert(Count{Key: string(key), N: n, Note: string(note)})
}

func (t *top) insert(c Count) {
	if len(t.heap) < t.limit {
		t.heap = append(t.heap, c)
		t.at[c.Key] = len(t.heap) - 1
		t.up(len(t.heap) - 1)
		return
	}
	*t.evicted++
	least := &t.heap[0]
	delete(t.at, least.Key)
	c.N, c.Over = c.N+least.N, c.Over+least.N
	*least = c
	t.at[c.Key] = 0
	t.down(0)
}

// floor is how often a key that is not in the table may have been seen.
func (t *top) floor() uint64 {
	if len(t.heap) < t.limit {
		return 0
	}
	return t.heap[0].N
}

// merge adds what other has seen (Agarwal et al.: Mergeable Summaries, 2012). A key that only one table has may have
// been seen as often as the floor of the other.
func (t *top) merge(other *top) {
	ours, theirs := t.floor(), other.floor()
	sum := make([]Count, 0, len(t.heap)+len(other.heap))
	for _, c := range t.heap {
		if i, both := other.at[c.Key]; both {
			c.N, c.Over = c.N+other.heap[i].N, c.Over+other.heap[i].Over
		} else {
			c.N, c.Over = c.N+theirs, c.Over+theirs
		}
		sum = append(sum, c)
	}
	for _, c := range other.heap {
		if _, both := t.at[c.Key]; !both {
			c.N, c.Over = c.N+ours, c.Over+ours
			sum = append(sum, c)
		}
	}
	slices.SortFunc(sum, func(a, b Count) int { return cmp.Compare(b.N, a.N) })
	*t.evicted += uint64(max(len(sum)-t.limit, 0))
	sum = sum[:min(len(sum), t.limit)]
	slices.Reverse(sum) // which is a heap
	clear(t.at)
	t.heap = append(t.heap[:0], sum...)
	for i := range t.heap {
		t.at[t.heap[i].Key] = i
	}
}

// most is n keys in the order of how often they were seen at least. In a flood of names that are asked for once each,
// those that are asked for more often come first.
func (t *top) most(n int) []Count {
	all := slices.Clone(t.heap)
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Least(), a.Least()), cmp.Compare(a.Key, b.Key))
	})
	return all[:min(n, len(all))]
}

func (t *top) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.at[t.heap[i].Key], t.at[t.heap[j].Key] = i, j
}

func (t *top) up(i int) {
	for parent := (i - 1) / 2; i > 0 && t.heap[i].N < t.heap[parent].N; parent = (i - 1) / 2 {
		t.swap(i, parent)
		i = parent
	}
}

func (t *top) down(i int) {
	for {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(t.heap) && t.heap[child].N < t.heap[least].N {
				least = child
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}
