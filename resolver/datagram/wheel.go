package datagram

import "time"

// A wheel has one slot for each tick of a turn. What is due later than a turn from now is passed over until then.
const (
	tick  = 10 * time.Millisecond
	slots = 256
)

// timed is something that is due at a time.
type timed struct {
	of         any           // what is due
	at         time.Duration // since the engine was made
	slot       int64
	waits      bool // it is in the wheel
	next, prev *timed
}

// wheel is a timer wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987). Nearly everything is
// removed before it is due, so adding and removing cost a few pointers; what is due fires up to a tick late. The engine's
// mutex guards it.
type wheel struct {
	slots [slots]*timed
	last  int64 // the tick up to which all that was due has fired
	count int
}

// tickOf is the first tick at which what is due at a time fires.
func tickOf(at time.Duration) int64 { return int64((at + tick - 1) / tick) }

// add adds t, which is not in the wheel.
func (w *wheel) add(t *timed, at, now time.Duration) {
	if w.count == 0 {
		w.last = int64(now / tick)
	}
	t.at, t.slot, t.waits = at, max(tickOf(at), w.last+1)%slots, true
	t.next = w.slots[t.slot]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[t.slot] = t
	w.count++
}

// remove removes t, if it is in the wheel.
func (w *wheel) remove(t *timed) {
	if !t.waits {
		return
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.waits = nil, nil, false
	w.count--
}

// expire removes what is due by now and returns it.
func (w *wheel) expire(now time.Duration) (all []*timed) {
	from := w.last + 1
	w.last = int64(now / tick)
	for n := max(from, w.last-slots+1); n <= w.last; n++ {
		for t := w.slots[n%slots]; t != nil; {
			next := t.next
			if tickOf(t.at) <= w.last {
				w.remove(t)
				all = append(all, t)
			}
			t = next
		}
	}
	return all
}

// next is when the wheel is to be looked at again, false for never.
func (w *wheel) next() (time.Duration, bool) {
	for n := w.last + 1; w.count > 0 && n <= w.last+slots; n++ {
		if w.slots[n%slots] != nil {
			return time.Duration(n) * tick, true
		}
	}
	return 0, false
}
