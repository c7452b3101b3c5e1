package traffic

// The hour is kept in parts of some minutes.
const (
	partMinutes = 10
	parts       = 60/partMinutes + 1 // one of them has just begun
)

// window is what this minute and the one before have seen most, and what the last hour has. What a minute has seen is
// added to a part of the hour when it is over.
type window struct {
	limit  int
	minute *top
	before *top
	parts  [parts]*top
	part   int // that minutes are added to
}

func newWindow(limit int) *window {
	w := &window{limit: limit, minute: newTop(limit), before: newTop(limit)}
	for i := range w.parts {
		w.parts[i] = newTop(limit)
	}
	return w
}

// turn ends the minute. next says that a part of the hour ends as well.
func (w *window) turn(next bool) {
	w.parts[w.part].merge(w.minute)
	w.before, w.minute = w.minute, newTop(w.limit)
	if next {
		w.part = (w.part + 1) % len(w.parts)
		w.parts[w.part] = newTop(w.limit)
	}
}

func (w *window) add(key []byte, n uint64, note []byte) { w.minute.add(key, n, note) }

// now is what this minute and the one before have seen.
func (w *window) now() *top {
	sum := newTop(w.limit)
	sum.merge(w.before)
	sum.merge(w.minute)
	return sum
}

// hour is what the last hour has seen, and up to a part of one before it.
func (w *window) hour() *top {
	sum := newTop(w.limit)
	for _, part := range w.parts {
		sum.merge(part)
	}
	sum.merge(w.minute)
	return sum
}
