package zones

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// TestClient: an address has a name while one pod alone claims it, and not before all slices and nodes have been read.
func TestClient(t *testing.T) {
	x := NewIndex()
	addr := netip.MustParseAddr("10.244.0.1")
	web, job, node := Claim{addr, "prod/web-0"}, Claim{addr, "dev/job"}, Claim{Addr: addr}
	for _, step := range []struct {
		words  string
		change func(*Tx)
		want   string
	}{
		{"nobody", func(*Tx) {}, ""},
		{"nodes have not been read", func(tx *Tx) { tx.Claim(web, 1); tx.SetSynced(Slices) }, ""},
		{"one", func(tx *Tx) { tx.SetSynced(Nodes) }, "prod/web-0"},
		{"in a second service", func(tx *Tx) { tx.Claim(web, 1) }, "prod/web-0"},
		{"another pod", func(tx *Tx) { tx.Claim(job, 1) }, ""},
		{"the first has left a service", func(tx *Tx) { tx.Claim(web, -1) }, ""},
		{"and the other one", func(tx *Tx) { tx.Claim(web, -1) }, "dev/job"},
		{"the address is that of a node", func(tx *Tx) { tx.Claim(node, 1) }, ""},
		{"of that alone", func(tx *Tx) { tx.Claim(job, -1) }, ""},
		{"no node", func(tx *Tx) { tx.Claim(node, -1) }, ""},
		{"one again", func(tx *Tx) { tx.Claim(web, 3) }, "prod/web-0"},
		{"none again", func(tx *Tx) { tx.Claim(web, -3) }, ""},
	} {
		x.Update(time.Unix(1, 0), step.change)
		if got := x.Snapshot().Client(new(Match), addr); got != step.want {
			t.Errorf("%s: got %q, want %q", step.words, got, step.want)
		}
	}
	if n := x.Snapshot().Clients(); n != 0 {
		t.Errorf("%d addresses are left", n)
	}
}

// TestClientOfPods: where pods are read, they say who it is, and nobody where one is on the network of its node.
func TestClientOfPods(t *testing.T) {
	x := NewIndex()
	addr := netip.MustParseAddr("fd00::1")
	details, _ := NewPodDetails("web-0", nil, 0)
	x.Update(time.Unix(1, 0), func(tx *Tx) {
		tx.AddPod(LivePod{Namespace: "prod", Addr: addr, Details: details})
		tx.SetSynced(PodObjects)
	})
	if got := x.Snapshot().Client(new(Match), addr); got != "prod/web-0" {
		t.Errorf("got %q", got)
	}
	x.Update(time.Unix(1, 0), func(tx *Tx) {
		tx.AddPod(LivePod{Namespace: "kube-system", Addr: addr, Details: details, Host: true})
	})
	if got := x.Snapshot().Client(new(Match), addr); got != "" {
		t.Errorf("got %q for the address of a node", got)
	}
}

// TestClaimsAgainstModel: after any changes the names are those of a map of claims, in old snapshots too.
func TestClaimsAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := NewIndex()
	x.Update(time.Unix(1, 0), func(tx *Tx) { tx.SetSynced(Slices | Nodes) })
	x.Number(time.Unix(2, 0))
	model := map[netip.Addr]map[string]int{}
	name := func(addr netip.Addr) string {
		for pod := range model[addr] {
			if len(model[addr]) == 1 {
				return pod
			}
		}
		return ""
	}
	var m Match
	for range 20_000 {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(50))})
		pod, more := []string{"", "a/1", "a/2", "b/1"}[r.IntN(4)], r.IntN(3)-1
		if model[addr] == nil {
			model[addr] = map[string]int{}
		}
		if more == 0 || model[addr][pod]+more < 0 {
			continue
		}
		before, was := x.Snapshot(), name(addr)
		if model[addr][pod] += more; model[addr][pod] == 0 {
			delete(model[addr], pod)
		}
		x.Update(time.Unix(3, 0), func(tx *Tx) { tx.Claim(Claim{addr, pod}, more) })
		if got, want := x.Snapshot().Client(&m, addr), name(addr); got != want {
			t.Fatalf("%v: got %q, want %q of %v", addr, got, want, model[addr])
		}
		if got := before.Client(&m, addr); got != was {
			t.Fatalf("the snapshot before has changed: %q, was %q", got, was)
		}
	}
	if x.Snapshot().Changed() {
		t.Error("claims are taken for records: secondaries would transfer the same zone again")
	}
}

// TestClientAllocates: who asks is found without an allocation.
func TestClientAllocates(t *testing.T) {
	x, addr := NewIndex(), netip.MustParseAddr("10.0.0.1")
	x.Update(time.Unix(1, 0), func(tx *Tx) { tx.Claim(Claim{addr, "prod/web-0"}, 1); tx.SetSynced(Slices | Nodes) })
	var m Match
	if n := testing.AllocsPerRun(100, func() { x.Snapshot().Client(&m, addr) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestMemoryOfClaims bounds what an address takes in the index.
func TestMemoryOfClaims(t *testing.T) {
	const addresses, most = 50_000, 136 // docs/debugging.md says 128
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := NewIndex()
	x.Update(time.Unix(1, 0), func(tx *Tx) {
		for i := range addresses {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			tx.Claim(Claim{addr, "namespace/deployment-7d9c4b5f6-" + strconv.Itoa(10_000+i)}, 1)
		}
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / addresses
	t.Logf("%.0f octets for each address", each)
	if each > most {
		t.Errorf("%.0f octets for each address, want at most %d", each, most)
	}
	runtime.KeepAlive(x)
}
