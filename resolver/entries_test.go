package resolver

import (
	"math/rand/v2"
	"testing"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestEntries: the table is a map, also where searches begin in few of its slots, and at its end.
func TestEntries(t *testing.T) {
	inverse := uint64(1) // of homeSalt
	for range 6 {
		inverse *= 2 - homeSalt*inverse
	}
	for _, homes := range []uint64{1, 3, 64} {
		random, table, want := rand.New(rand.NewPCG(homes, 1)), entries{}, map[uint64]*entry{}
		for range 20_000 {
			hash := (^uint64(0) - random.Uint64N(40) - random.Uint64N(homes)<<32) * inverse
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

// TestTypesAreSpread fills the table of a shard with types of one name, chosen so that their hashes agree in the bits that
// a client can know to agree: searches stay short.
func TestTypesAreSpread(t *testing.T) {
	c := newTestCache(t, Cache{})
	most, table, first := c.shards[0].halves[success].capacity, entries{}, (*shard)(nil)
	var same uint64
	for i := range 4 << 16 {
		k := cacheKey{name: []byte("\x03www\x07example\x00"), typ: wire.Type(i), do: i>>16&1 != 0, cd: i>>17 != 0}
		s, hash := c.shardOf(&k)
		if first == nil {
			first, same = s, hash&0xf0
		}
		if s == first && hash&0xf0 == same && table.count < most {
			table.put(hash, &entry{at: hash})
		}
	}
	if table.count < most {
		t.Fatalf("only %d types of %d", table.count, most)
	}
	var steps uint64
	for i, s := range table.slots {
		if s.entry != nil {
			steps += table.distance(table.home(s.hash), uint64(i))
		}
	}
	if steps > 10*uint64(table.count) {
		t.Errorf("%d entries in %d slots are %d slots behind their homes", table.count, len(table.slots), steps)
	}
}
