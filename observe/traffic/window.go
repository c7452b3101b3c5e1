package traffic

// The hour is kept in parts of some minutes.
const (
	partMinutes = 10
	parts       = 60/partMinutes + 1 // one of them has just begun
)

// window is what this minute and the one before have seen most, and what the last hour has. What a minute has seen is
// added to a part of the hour when it is over.
type window struct {
	limit   int
	evicted *uint64
	minute  *top
	before  *top
	parts   [parts]*top
	part    int // that minutes are added to
}

// newWindow makes one that adds to evicted how many keys others have displaced.
func newWindow(limit int, evicted *uint64) *window {
	w := &window{limit: limit, evicted: evicted}
	w.minute, w.before = w.empty(), w.empty()
	for i := range w.parts {
		w.parts[i] = w.empty()
	}
	return w
}

func (w *window) empty() *top { return newTop(w.limit, w.evicted) }

// keys is how many keys are held.
func (w *window) keys() int {
	n := len(w.minute.heap) + len(w.before.heap)
	for _, part := range w.parts {
		n += len(part.heap)
	}
	return n
}

// turn ends the minute. next says that a part of the hour ends as well.
func (w *window) turn(next bool) {
	w.parts[w.part].merge(w.minute)
	w.before, w.minute = w.minute, w.empty()
	if next {
		w.part = (w.part + 1) % len(w.parts)
		w.parts[w.part] = w.empty()
	}
}

func (w *window) add(key []byte, n uint64, note []byte) { w.minute.add(key, n, note) }

// now is what this minute and the one before have seen.
func (w *window) now() *top {
	sum := newTop(w.limit, new(uint64))
	sum.merge(w.before)
	sum.merge(w.minute)
	return sum
}

// hour is what the last hour has seen, and up to a part of one before it.
func (w *window) hour() *top {
	sum := newTop(w.limit, new(uint64))
	for _, part := range w.parts {
		sum.merge(part)
	}
	sum.merge(w.minute)
	return sum
}
