package zones

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// FuzzDashed compares dashed with netip.ParseAddr.
func FuzzDashed(f *testing.F) {
	for _, label := range []string{
		"10-244-3-1", "fd00-244--11", "--1", "fd00--", "--", "1-2-3-4-5-6-7-8", "1--3-4-5-6-7-8", "1-2-3-4-5-6-7--",
		"01-2-3-4", "256-1-1-1", "a", "-", "", "1-2-3", "12345--", "1---2", "--ffff-a00-1", "1--2--3", "-1--",
	} {
		f.Add(label)
	}
	f.Fuzz(func(t *testing.T, label string) {
		if len(label) > 63 || strings.ContainsAny(label, ".:%ABCDEF") {
			return
		}
		got, ok := dashed([]byte(label))
		want, err := netip.ParseAddr(strings.ReplaceAll(label, "-", "."))
		if err != nil {
			want, err = netip.ParseAddr(strings.ReplaceAll(label, "-", ":"))
		}
		if ok != (err == nil) || ok && got != want.Unmap() {
			t.Fatalf("%q: got %v %v, netip says %v %v", label, got, ok, want, err)
		}
	})
}

// TestPodNamespace: an address is that of the youngest pod that has it, and that of a node is nobody's.
func TestPodNamespace(t *testing.T) {
	x := NewIndex()
	addr := netip.MustParseAddr("10.244.0.1")
	old := LivePod{Namespace: "prod", Addr: addr, Started: 100}
	young := LivePod{Namespace: "dev", Addr: addr, Started: 200}
	again := LivePod{Namespace: "dev", Addr: addr, Started: 150}
	twin := LivePod{Namespace: "prod", Addr: addr, Started: 150}
	host := LivePod{Namespace: "kube-system", Addr: addr, Host: true, Started: 50}
	for _, step := range []struct {
		words  string
		change func(*Tx)
		want   string
	}{
		{"none", func(*Tx) {}, ""},
		{"not all have been read", func(tx *Tx) { tx.AddPod(old) }, ""},
		{"one", func(tx *Tx) { tx.SetSynced(PodObjects) }, "\x04prod"},
		{"a younger one", func(tx *Tx) { tx.AddPod(young) }, "\x03dev"},
		{"the old one is gone", func(tx *Tx) { tx.DropPod(old) }, "\x03dev"},
		{"two of one namespace", func(tx *Tx) { tx.AddPod(again) }, "\x03dev"},
		{"one is left", func(tx *Tx) { tx.DropPod(young) }, "\x03dev"},
		{"an older one", func(tx *Tx) { tx.AddPod(old) }, "\x03dev"},
		{"one of the same age", func(tx *Tx) { tx.AddPod(twin) }, ""},
		{"none that old", func(tx *Tx) { tx.DropPod(twin); tx.DropPod(old) }, "\x03dev"},
		{"a node", func(tx *Tx) { tx.AddPod(host) }, ""},
		{"no node", func(tx *Tx) { tx.DropPod(host) }, "\x03dev"},
		{"none again", func(tx *Tx) { tx.DropPod(again) }, ""},
	} {
		x.Update(time.Unix(1, 0), step.change)
		if got := x.Snapshot().PodNamespace(new(Match), addr); got != step.want {
			t.Errorf("%s: got %q, want %q", step.words, got, step.want)
		}
	}
	if n := x.Snapshot().pods.size; n != 0 {
		t.Errorf("%d addresses are left", n)
	}
}

// TestPodAt: what metadata tells of a pod is that of the one that PodNamespace means, if it is one.
func TestPodAt(t *testing.T) {
	x := NewIndex()
	addr := netip.MustParseAddr("10.244.0.1")
	pod := func(name string, started int64) LivePod {
		details, omitted := NewPodDetails(name, map[string]string{"app": name, "b": "", "a/app": "app"}, 100)
		if omitted > 0 {
			t.Fatalf("%d labels are left out", omitted)
		}
		return LivePod{Namespace: "prod", Addr: addr, Started: started, Details: details}
	}
	one, two, twin := pod("one", 1), pod("two", 2), pod("twin", 2)
	plain := LivePod{Namespace: "prod", Addr: addr, Started: 3}
	for _, step := range []struct {
		words  string
		change func(*Tx)
		want   string
	}{
		{"one", func(tx *Tx) { tx.AddPod(one); tx.SetSynced(PodObjects) }, "one"},
		{"a younger one", func(tx *Tx) { tx.AddPod(two) }, "two"},
		{"two youngest", func(tx *Tx) { tx.AddPod(twin) }, ""},
		{"the first of them is gone", func(tx *Tx) { tx.DropPod(two) }, "twin"},
		{"without details", func(tx *Tx) { tx.AddPod(plain) }, ""},
	} {
		x.Update(time.Unix(1, 0), step.change)
		space, details := x.Snapshot().PodAt(new(Match), addr)
		if space != "\x04prod" {
			t.Errorf("%s: in namespace %q", step.words, space)
		}
		switch {
		case step.want == "":
			if details != nil {
				t.Errorf("%s: got %q", step.words, details.Name)
			}
		case details == nil || details.Name != step.want:
			t.Errorf("%s: got %v, want %s", step.words, details, step.want)
		default:
			for key, want := range map[string]string{"app": step.want, "b": "", "a/app": "app"} {
				if got, ok := details.Label(key); got != want || !ok {
					t.Errorf("%s: label %s: got %q, %v", step.words, key, got, ok)
				}
			}
			for _, key := range []string{"", step.want, "a", "c"} {
				if got, ok := details.Label(key); ok {
					t.Errorf("%s: label %s: got %q", step.words, key, got)
				}
			}
		}
	}
}

// TestPodDetailsBound: labels that do not fit are left out from the first one on.
func TestPodDetailsBound(t *testing.T) {
	details, omitted := NewPodDetails("p", map[string]string{"a": "1", "b": "12345", "c": "1"}, 9)
	if _, ok := details.Label("a"); omitted != 2 || !ok {
		t.Errorf("%d labels are left out, the first is there: %v", omitted, ok)
	}
	if details, omitted = NewPodDetails("p", nil, 9); omitted != 0 || *details != (PodDetails{Name: "p"}) {
		t.Errorf("got %+v, %d left out", details, omitted)
	}
}
