package zones

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBulk: the reverse index that is built at once is the one that records make that are put into it one by one.
func TestBulk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []*ServiceRecords
		var b Builder
		for i := range rapid.IntRange(0, 40).Draw(t, "services") {
			b.Start("prod", fmt.Sprint("web-", i))
			if rapid.Bool().Draw(t, "front") {
				b.Front()
			}
			b.Placed(NearestUnset)
			cluster := rapid.Bool().Draw(t, "cluster IP")
			for j := range rapid.IntRange(0, 4).Draw(t, "endpoints") {
				name := b.Name(fmt.Sprint("host-", j))
				b.Reverse(name, cluster)
				b.AddressAt(name, drawAddr(t), Place(j))
				b.Asking(drawAddr(t), Place(j))
			}
			r, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, r)
		}
		index := func(change func(*Tx, *ServiceRecords)) *Snapshot {
			x := NewIndex()
			x.Update(time.Unix(1, 0), func(tx *Tx) {
				for _, r := range list {
					copied := *r
					change(tx, &copied)
				}
			})
			return x.Snapshot()
		}
		together := index((*Tx).SetService)
		apart := index(func(tx *Tx, r *ServiceRecords) {
			tx.bare = false
			tx.SetService(r)
		})
		if !reflect.DeepEqual(together.reverse, apart.reverse) || !reflect.DeepEqual(together.asking, apart.asking) {
			t.Fatalf("together and one by one differ, of %d services", len(list))
		}
	})
}
