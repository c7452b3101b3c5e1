package manifests

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/clusterdns/clusterdns/watch/object"
)

// manyServices are n files, each with a service of both families and a Deployment of one pod.
func manyServices(n int) fstest.MapFS {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("%d.yaml", i)] = fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: s%d, namespace: many}
spec: {ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d%d, namespace: many}
spec: {selector: {matchLabels: {app: d}}, template: {metadata: {labels: {app: d}}, spec: {containers: [{name: main, image: none}]}}}
`, i, i)
	}
	return mapFS(files)
}

func TestAddressesDoNotMove(t *testing.T) {
	const n = 400
	files := manyServices(n)
	whole := mustRead(t, files, object.Selection{})
	if len(whole.faults) > 0 {
		t.Fatal(whole.faults)
	}
	if got, want := len(whole.allocations), n*4; got != want {
		t.Fatalf("%d addresses, want %d", got, want)
	}
	seen := map[netip.Addr]claim{}
	for c, addr := range whole.allocations {
		if other, twice := seen[addr]; twice {
			t.Errorf("%s is the address of %v and %v", addr, c, other)
		}
		seen[addr] = c
	}

	// Without every third file only where two searches met may an address be another.
	for i := 0; i < n; i += 3 {
		delete(files, fmt.Sprintf("%d.yaml", i))
	}
	moved := 0
	fresh := mustRead(t, files, object.Selection{})
	for c, addr := range fresh.allocations {
		if whole.allocations[c] != addr {
			moved++
		}
	}
	if moved > 10 {
		t.Errorf("%d of %d addresses moved with a third of the files gone", moved, len(fresh.allocations))
	}
}

// TestSearchesThatMeet holds the place that a claim's search begins at: it goes on to its second attempt.
func TestSearchesThatMeet(t *testing.T) {
	c := claim{"service", object.Key{Namespace: "a", Name: "second"}, false}
	a := newAllocator()
	a.hold(poolOf(c).at(poolOf(c).start(c, 0)))
	a.assign([]claim{c})
	if got, want := a.current[c], poolOf(c).at(poolOf(c).start(c, 1)); got != want {
		t.Errorf("the second attempt is at %s, want %s", got, want)
	}
}

func TestPoolsStayInTheirPrefixes(t *testing.T) {
	for _, test := range []struct {
		claim  claim
		prefix string
	}{
		{claim{kind: "service"}, "10.96.0.0/12"},
		{claim{kind: "service", ipv6: true}, "fd00:10:96::/112"},
		{claim{kind: "pod"}, "10.244.0.0/16"},
		{claim{kind: "pod", ipv6: true}, "fd00:10:244::/64"},
	} {
		p, prefix := poolOf(test.claim), netip.MustParsePrefix(test.prefix)
		for _, offset := range []uint64{p.first, p.first + 1, p.last - 1, p.last} {
			if addr := p.at(offset); addr.IsValid() && !prefix.Contains(addr) {
				t.Errorf("%s is not in %s", addr, prefix)
			}
		}
	}
}

// TestFullPool hands out a whole pool: every address once, none that looks like a network's or a broadcast address, and
// then no more.
func TestFullPool(t *testing.T) {
	var claims []claim
	for i := range 1 << 16 {
		claims = append(claims, claim{"pod", object.Key{Namespace: "ns", Name: fmt.Sprint(i)}, false})
	}
	a := newAllocator()
	a.assign(claims)
	want := 255*254 - 0 // 10.244.1.0 to 10.244.255.255
	if got := len(a.current); got != want {
		t.Errorf("%d addresses, want %d", got, want)
	}
	for addr := range maps.Values(a.current) {
		if last := addr.As4()[3]; last == 0 || last == 255 {
			t.Errorf("%s was handed out", addr)
		}
	}
	all := slices.Collect(maps.Values(a.current))
	slices.SortFunc(all, netip.Addr.Compare)
	if n := len(slices.Compact(all)); n != want {
		t.Errorf("%d addresses are different, want %d", n, want)
	}
}
