package traffic

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

// Bounds of those who follow queries as they come.
const (
	MaxTails   = 16  // at a time
	tailLength = 256 // samples that one may be behind, 128 KiB
)

// Filter says which queries are wanted. Its zero value but for Rcode, which is -1 for all, is every query.
type Filter struct {
	Client netip.Prefix // zero for all
	Suffix []byte       // the name or names below it, in wire form and lower case; empty for all
	Rcode  int
}

func (f *Filter) matches(s *Sample) bool {
	return (f.Rcode < 0 || f.Rcode == int(s.Rcode)) &&
		(!f.Client.IsValid() || f.Client.Contains(s.Client.Addr())) &&
		within(s.Name(), f.Suffix)
}

// within reports whether name is suffix or below it.
func within(name, suffix []byte) bool {
	for len(name) > len(suffix) && name[0] > 0 && int(name[0]) < len(name) {
		name = name[1+int(name[0]):]
	}
	return len(suffix) == 0 || bytes.Equal(name, suffix)
}

// Tail gets samples as they come.
type Tail struct {
	C       <-chan Sample // closed when counting ends
	c       chan Sample
	filter  Filter
	omitted uint64 // under the mutex of Traffic
}

// Follow begins a Tail; nil when there are MaxTails, or counting is off. Leave ends it.
func (t *Traffic) Follow(filter Filter) *Tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.tails) == MaxTails || t.tables == nil {
		return nil
	}
	c := make(chan Sample, tailLength)
	tail := &Tail{C: c, c: c, filter: filter}
	t.tails = append(t.tails, tail)
	return tail
}

// Leave ends a Tail.
func (t *Traffic) Leave(tail *Tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tails = slices.DeleteFunc(t.tails, func(other *Tail) bool { return other == tail })
}

// Omitted is how many samples the Tail has missed since the last call, because it was too far behind.
func (t *Traffic) Omitted(tail *Tail) (n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, tail.omitted = tail.omitted, 0
	return n
}

// pass gives tails, in the order of time, what was answered before samples were last taken: a worker may since have passed
// on what is older than what another has. It does not wait for anybody.
func (t *Traffic) pass(now time.Time, samples []Sample) {
	k := t.tables
	due := k.taken
	k.taken = now
	if len(t.tails) == 0 {
		k.waiting = k.waiting[:0]
		return
	}
	k.waiting = append(k.waiting, samples...)
	slices.SortStableFunc(k.waiting, func(a, b Sample) int { return a.At.Compare(b.At) })
	n := 0
	for ; n < len(k.waiting) && !k.waiting[n].At.After(due); n++ {
		t.tell(&k.waiting[n])
	}
	k.waiting = slices.Delete(k.waiting, 0, n)
}

// tell gives a sample to those who want it.
func (t *Traffic) tell(s *Sample) {
	for _, tail := range t.tails {
		if !tail.filter.matches(s) {
			continue
		}
		select {
		case tail.c <- *s:
		default:
			tail.omitted++
			t.omitted++
		}
	}
}
