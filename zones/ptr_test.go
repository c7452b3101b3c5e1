package zones

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// sharing is n headless services, each with one endpoint at the same address.
func sharing(n int) []*ServiceRecords {
	units := make([]*ServiceRecords, n)
	var b Builder
	for i := range units {
		b.Start("prod", fmt.Sprint("svc-", i))
		host := b.Name("pod")
		b.Reverse(host, false)
		b.Address(host, netip.MustParseAddr("10.244.0.1"))
		units[i], _ = b.Build()
	}
	return units
}

// dropAll removes the services of sharing in one step, beginning with the first, whose record is the last of the list.
func dropAll(x *Index, n int) {
	x.Update(time.Unix(2, 0), func(tx *Tx) {
		for i := range n {
			tx.DropService("prod", fmt.Sprint("svc-", i))
		}
	})
}

func setAll(x *Index, units []*ServiceRecords) {
	x.Update(time.Unix(1, 0), func(tx *Tx) {
		for _, r := range units {
			tx.SetService(r)
		}
	})
}

func BenchmarkDropShared(b *testing.B) {
	for _, n := range []int{10_000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				x := NewIndex()
				setAll(x, sharing(n))
				b.StartTimer()
				dropAll(x, n)
			}
		})
	}
}

// TestDropSharedIsLinear: removing twice as many services that share an address takes twice as long, not four times.
func TestDropSharedIsLinear(t *testing.T) {
	allocs := func(n int) float64 {
		return testing.AllocsPerRun(1, func() {
			x := NewIndex()
			setAll(x, sharing(n))
			dropAll(x, n)
			if services, addresses := x.Snapshot().Size(); services != 0 || addresses != 0 {
				t.Errorf("%d services and %d addresses are left", services, addresses)
			}
		})
	}
	if one, two := allocs(1000), allocs(2000); two > 3*one {
		t.Errorf("%.0f allocations for 1000 services, %.0f for 2000", one, two)
	}
}

// TestReverseComesAndGoes: if one change both removes and adds a record, the last of these counts.
func TestReverseComesAndGoes(t *testing.T) {
	set := func(tx *Tx) { tx.SetService(sharing(1)[0]) }
	drop := func(tx *Tx) { tx.DropService("prod", "svc-0") }
	for _, test := range []struct {
		name  string
		steps []func(*Tx)
		want  int
	}{
		{"drop, set", []func(*Tx){drop, set}, 2},
		{"drop, set, drop", []func(*Tx){drop, set, drop}, 1},
		{"drop, set, drop, set", []func(*Tx){drop, set, drop, set}, 2},
	} {
		x := NewIndex()
		setAll(x, sharing(2))
		x.Update(time.Unix(2, 0), func(tx *Tx) {
			for _, step := range test.steps {
				step(tx)
			}
		})
		if got := count(x, netip.MustParseAddr("10.244.0.1")); got != test.want {
			t.Errorf("%s: %d records, want %d", test.name, got, test.want)
		}
	}
}
