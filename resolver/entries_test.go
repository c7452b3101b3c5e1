package resolver

import (
	"math/rand/v2"
	"testing"
)

// TestEntries: the table is a map, also where searches begin in few of its slots, and at its end.
func TestEntries(t *testing.T) {
	for _, homes := range []uint64{1, 3, 64} {
		random, table, want := rand.New(rand.NewPCG(homes, 1)), entries{}, map[uint64]*entry{}
		for range 20_000 {
			hash := random.Uint64N(40)<<32 - 1 - random.Uint64N(homes)
			if random.IntN(2) == 0 {
				e := &entry{at: hash}
				table.put(hash, e)
				want[hash] = e
			} else {
				table.remove(hash)
				delete(want, hash)
			}
			if table.count != len(want) || 4*table.count > 3*len(table.slots) {
				t.Fatalf("%d entries in %d slots, want %d", table.count, len(table.slots), len(want))
			}
			if got := table.find(hash); got != want[hash] {
				t.Fatalf("%x: got %p, want %p", hash, got, want[hash])
			}
		}
		for hash, e := range want {
			if table.find(hash) != e {
				t.Fatalf("%x is lost", hash)
			}
		}
	}
}
