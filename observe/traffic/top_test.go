package traffic

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// exact is a top with room for all keys.
type exact map[string]uint64

// check holds t to what was really seen: no count is too low, none is too high by more than it says, and each key that
// was seen more often than the floor is there.
func check(t *testing.T, got *top, want exact) {
	t.Helper()
	if len(got.heap) > got.limit || len(got.at) != len(got.heap) {
		t.Fatalf("%d keys, %d of them found, limit %d", len(got.heap), len(got.at), got.limit)
	}
	for i, c := range got.heap {
		if n := want[c.Key]; c.N < n || c.Least() > n {
			t.Fatalf("%q: %d, of them %d too many, for %d", c.Key, c.N, c.Over, n)
		}
		if got.at[c.Key] != i || i > 0 && c.N < got.heap[(i-1)/2].N {
			t.Fatalf("%q is at a wrong place", c.Key)
		}
	}
	for key, n := range want {
		if _, known := got.at[key]; !known && n > got.floor() {
			t.Fatalf("%q is missing: it was seen %d times, and the floor is %d", key, n, got.floor())
		}
	}
}

// FuzzTop adds and merges as data says.
func FuzzTop(f *testing.F) {
	f.Add([]byte("aabacadaebbbfg"), uint8(3))
	f.Add([]byte("abcdefghijklmnop!abcabcabc!zzzzzzyyyy"), uint8(4))
	f.Fuzz(func(t *testing.T, data []byte, limit uint8) {
		size, evicted := int(limit%8)+1, new(uint64)
		sum, part := newTop(size, evicted), newTop(size, evicted)
		seen, all := exact{}, exact{}
		for i, c := range data {
			if c == '!' {
				sum.merge(part)
				check(t, sum, all)
				part, seen = newTop(size, evicted), exact{}
				continue
			}
			n := uint64(i%3 + 1)
			part.add([]byte{c}, n, nil)
			seen[string([]byte{c})] += n
			all[string([]byte{c})] += n
			check(t, part, seen)
		}
		sum.merge(part)
		check(t, sum, all)
	})
}

// TestTopModel: names of many sizes of share, with a flood of names that come once, over the turns of a window.
func TestTopModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	w, want := newWindow(64, new(uint64)), exact{}
	for i := range 60_000 {
		key := fmt.Sprint("often", random.IntN(8))
		if random.IntN(3) > 0 {
			key = fmt.Sprint("once", i)
		}
		w.add([]byte(key), 1, nil)
		want[key]++
		if i%1500 == 1499 {
			w.turn(i%15_000 == 14_999)
		}
	}
	hour := w.hour()
	check(t, hour, want)
	for _, c := range hour.most(8) {
		if n := want[c.Key]; n < 1000 || c.Least() < n*8/10 {
			t.Errorf("%q is among the first 8 with %d, and was seen %d times", c.Key, c.Least(), n)
		}
	}
}

// TestWindowForgets: what is older than an hour, and the parts of a window, are gone.
func TestWindowForgets(t *testing.T) {
	w := newWindow(8, new(uint64))
	w.add([]byte("old"), 1, nil)
	for minute := range 60 + partMinutes + 1 {
		if list := w.hour().most(9); minute < 60 && len(list) != 1 {
			t.Fatalf("minute %d: %v", minute, list)
		}
		if list := w.now().most(9); (minute < 2) != (len(list) == 1) {
			t.Fatalf("minute %d, now: %v", minute, list)
		}
		w.turn((minute+1)%partMinutes == 0)
	}
	if list := w.hour().most(9); len(list) != 0 {
		t.Errorf("after an hour: %v", list)
	}
}
