package resolver

// entries finds the entries of a half by hash. It is a table with linear probing: what it looks at is nearly always one
// line of the CPU's cache, and a map of Go takes five that depend on each other. The zero table is empty.
type entries struct {
	slots []hashed // their number is a power of two, and a quarter of them at least are free
	count int
}

// hashed is a slot of the table, free without an entry.
type hashed struct {
	hash  uint64
	entry *entry
}

const (
	leastSlots = 8
	homeSalt   = 0xd6e8feb86659fd93 // odd
)

// find is the entry with hash, nil without one.
func (t *entries) find(hash uint64) *entry {
	if t.count == 0 {
		return nil
	}
	return t.slots[t.at(hash)].entry
}

// at is the slot of the entry with hash, or else the free one for it.
func (t *entries) at(hash uint64) uint64 {
	i := t.home(hash)
	for t.slots[i].entry != nil && t.slots[i].hash != hash {
		i = t.after(i)
	}
	return i
}

// home is the slot where the search for hash begins. Whoever asks for one name with many types knows by which bits their
// hashes differ, though not the hashes (shardOf): the product depends on these too, so nobody can choose types that meet.
func (t *entries) home(hash uint64) uint64 { return hash * homeSalt >> 32 & uint64(len(t.slots)-1) }

func (t *entries) after(i uint64) uint64 { return (i + 1) & uint64(len(t.slots)-1) }

// put adds e, in the place of another entry with hash.
func (t *entries) put(hash uint64, e *entry) {
	if 4*(t.count+1) > 3*len(t.slots) {
		t.grow()
	}
	s := &t.slots[t.at(hash)]
	if s.entry == nil {
		t.count++
	}
	*s = hashed{hash, e}
}

func (t *entries) grow() {
	old := t.slots
	t.slots = make([]hashed, max(leastSlots, 2*len(old)))
	for _, s := range old {
		if s.entry != nil {
			t.slots[t.at(s.hash)] = s
		}
	}
}

// remove removes the entry with hash, if there is one. Entries behind it that were displaced by it move up, so that no
// search ends before them.
func (t *entries) remove(hash uint64) {
	if t.count == 0 {
		return
	}
	free := t.at(hash)
	if t.slots[free].entry == nil {
		return
	}
	t.count--
	for i := t.after(free); t.slots[i].entry != nil; i = t.after(i) {
		if displaced := t.distance(t.home(t.slots[i].hash), i); displaced >= t.distance(free, i) {
			t.slots[free] = t.slots[i]
			free = i
		}
	}
	t.slots[free] = hashed{}
}

// distance is how many slots i is behind from.
func (t *entries) distance(from, i uint64) uint64 { return (i - from) & uint64(len(t.slots)-1) }
