package zones

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// anyService draws one of few services with endpoints of few addresses, so that they share some.
func anyService(t *rapid.T) *ServiceRecords {
	var b Builder
	b.Start(fmt.Sprint("ns", rapid.IntRange(0, 2).Draw(t, "namespace")),
		fmt.Sprint("svc", rapid.IntRange(0, 5).Draw(t, "service")))
	owner := b.Name("")
	if rapid.Bool().Draw(t, "clusterIP") {
		b.Reverse(owner, true)
		b.Address(owner, netip.AddrFrom4([4]byte{10, 96, 0, byte(rapid.IntRange(1, 5).Draw(t, "ip"))}))
		b.SRV(owner, owner, b.Ports(1, 80))
	}
	for range rapid.IntRange(0, 4).Draw(t, "endpoints") {
		host := b.Name(fmt.Sprint("pod-", rapid.IntRange(0, 9).Draw(t, "host")))
		b.Reverse(host, false)
		addr := netip.AddrFrom4([4]byte{10, 244, 0, byte(rapid.IntRange(1, 9).Draw(t, "address"))})
		if rapid.Bool().Draw(t, "v6") {
			addr = netip.MustParseAddr(fmt.Sprint("fd00::", rapid.IntRange(1, 9).Draw(t, "address6")))
		}
		b.Address(host, addr)
		b.SRV(host, host, b.Ports(1, 80))
		b.SRV(b.Name("_http._tcp"), host, b.Ports(1, 80))
	}
	if rapid.IntRange(0, 9).Draw(t, "absent") == 0 {
		b.NoNames("0 of 1 endpoints ready")
	}
	r, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestIndexEqualsRebuild compares an index after any sequence of changes with one rebuilt from the result, forward and
// reverse.
func TestIndexEqualsRebuild(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := NewIndex()
		held := map[string]*ServiceRecords{}
		objects := map[string]bool{}
		serial := x.Snapshot().Serial()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			before := x.Snapshot()
			text := dump(before)
			edit := func(tx *Tx) {
				switch rapid.IntRange(0, 5).Draw(t, "action") {
				case 0:
					space := fmt.Sprint("ns", rapid.IntRange(0, 2).Draw(t, "namespace"))
					name := fmt.Sprint("svc", rapid.IntRange(0, 5).Draw(t, "service"))
					tx.DropService(space, name)
					delete(held, name+"."+space)
				case 1:
					name := fmt.Sprint("ns", rapid.IntRange(0, 2).Draw(t, "namespace"))
					objects[name] = rapid.Bool().Draw(t, "exists")
					tx.SetNamespace(name, objects[name])
				default:
					r := anyService(t)
					tx.SetService(r)
					held[strings.TrimSuffix(wire.NameString([]byte(r.owner)), ".")] = r
				}
			}
			changed := x.Update(time.Unix(1, 0), func(tx *Tx) {
				for range rapid.IntRange(1, 4).Draw(t, "edits") {
					edit(tx)
				}
			})
			if dump(before) != text {
				t.Fatal("a published snapshot changed")
			}
			if now := x.Snapshot(); changed != (now != before) || now.Changed() != (changed || before.Changed()) {
				t.Fatalf("changed %v: new snapshot %v, without a serial %v", changed, now != before, now.Changed())
			}
			if !rapid.Bool().Draw(t, "number") {
				continue
			}
			wanted, last := x.Snapshot(), x.Numbered()
			x.Number(time.Unix(1, 0))
			switch numbered := x.Numbered(); {
			case !wanted.Changed() && numbered != last:
				t.Fatal("a serial for nothing")
			case numbered.Serial() < serial || wanted.Changed() && numbered.Serial() == serial:
				t.Fatalf("serial %d after %d", numbered.Serial(), serial)
			case wanted.Changed() && (numbered != x.Snapshot() || dump(numbered) != dump(wanted)):
				t.Fatal("the serial is of other content")
			default:
				serial = numbered.Serial()
			}
		}
		fresh := NewIndex()
		fresh.Update(time.Unix(1, 0), func(tx *Tx) {
			for _, r := range held {
				tx.SetService(r)
			}
			for name, exists := range objects {
				tx.SetNamespace(name, exists)
			}
		})
		if got, want := dump(x.Snapshot()), dump(fresh.Snapshot()); got != want {
			t.Fatalf("after the changes:\n%s\nrebuilt:\n%s", got, want)
		}
	})
}

func dump(s *Snapshot) string {
	var text strings.Builder
	s.WriteText(&text, "cluster.local.", 5)
	return text.String()
}

// TestNothingChangedNothingPublished sets the same service twice.
func TestNothingChangedNothingPublished(t *testing.T) {
	x := NewIndex()
	service := func() *ServiceRecords {
		var b Builder
		b.Start("prod", "web")
		b.Address(b.Name(""), netip.MustParseAddr("10.96.0.1"))
		r, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if !x.Update(time.Unix(9, 0), func(tx *Tx) { tx.SetService(service()) }) {
		t.Error("a new service was not published")
	}
	before := x.Snapshot()
	if x.Update(time.Unix(99, 0), func(tx *Tx) { tx.SetService(service()) }) || x.Snapshot() != before {
		t.Error("an equal service was published")
	}
}

// TestReverseOfSharedAddress: a cluster IP takes precedence over endpoints, and each service that shares an endpoint
// has a record.
func TestReverseOfSharedAddress(t *testing.T) {
	x := NewIndex()
	shared := netip.MustParseAddr("10.244.0.1")
	x.Update(time.Unix(1, 0), func(tx *Tx) {
		for _, name := range []string{"a", "b"} {
			var b Builder
			b.Start("prod", name)
			host := b.Name("pod")
			b.Reverse(host, false)
			b.Address(host, shared)
			r, _ := b.Build()
			tx.SetService(r)
		}
	})
	if n := count(x, shared); n != 2 {
		t.Errorf("%d records for a shared endpoint, want 2", n)
	}
	x.Update(time.Unix(1, 0), func(tx *Tx) {
		var b Builder
		b.Start("prod", "c")
		b.Reverse(b.Name(""), true)
		b.Address(b.Name(""), shared)
		r, _ := b.Build()
		tx.SetService(r)
	})
	if n := count(x, shared); n != 1 {
		t.Errorf("%d records beside a cluster IP, want 1", n)
	}
	x.Update(time.Unix(1, 0), func(tx *Tx) { tx.DropService("prod", "c") })
	if n := count(x, shared); n != 2 {
		t.Errorf("%d records after the cluster IP went, want 2", n)
	}
}

func count(x *Index, addr netip.Addr) (n int) {
	for p := x.Snapshot().Reverse(new(Match), addr); p.Next(); {
		n++
	}
	return n
}

// TestSerials: a serial is the second in which it is given. It follows the clock, except backwards, and the changes
// between two calls share one.
func TestSerials(t *testing.T) {
	x := NewIndex()
	change := func(at int64) {
		x.Update(time.Unix(at, 0), func(tx *Tx) { tx.SetNamespace(fmt.Sprint("ns", x.edit), true) })
	}
	for i, step := range []struct {
		at      int64
		changes int
		want    uint32
	}{
		{1000, 1000, 1001}, // the first one is later than the second of the first change
		{1001, 1, 1002},
		{1002, 0, 1002},
		{1009, 3, 1010},
		{500, 1, 1011}, // the clock was set back
		{501, 1, 1012},
		{2000, 1, 2001},
	} {
		for range step.changes {
			change(step.at)
		}
		if i == 0 && (x.Numbered().Serial() != 0 || x.Snapshot().Serial() != 1000) {
			t.Errorf("at first: serial %d, numbered %d", x.Snapshot().Serial(), x.Numbered().Serial())
		}
		x.Number(time.Unix(step.at+1, 0))
		if got := x.Snapshot().Serial(); got != step.want || x.Numbered() != x.Snapshot() {
			t.Errorf("step %d: serial %d, want %d", i, got, step.want)
		}
	}
}
