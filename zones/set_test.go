package zones

import (
	"testing"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestSet finds the longest zone of each name, independent of the order of the zones.
func TestSet(t *testing.T) {
	names := []string{"cluster.local.", ".", "in-addr.arpa.", "Prod.svc.cluster.local.", "10.in-addr.arpa."}
	with, err := NewSet(names)
	if err != nil {
		t.Fatal(err)
	}
	without, err := NewSet(names[:1])
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"cluster.local": "cluster.local.", "a.cluster.local": "cluster.local.",
		"a.prod.svc.cluster.local": "Prod.svc.cluster.local.",
		"xcluster.local":           ".", "local": ".", ".": ".",
		"1.0.0.10.in-addr.arpa": "10.in-addr.arpa.", "1.0.0.11.in-addr.arpa": "in-addr.arpa.",
	} {
		var q wire.QName
		text, err := wire.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		q.SetString(string(text))
		if i, _, ok := with.Match(&q); !ok || names[i] != want {
			t.Errorf("%s: index %d, %v, want %s", name, i, ok, want)
		}
		i, labels, ok := without.Match(&q)
		below := want == "cluster.local." || want == "Prod.svc.cluster.local."
		if ok != below || ok && (i != 0 || labels != 2) || without.Contains(&q) != ok {
			t.Errorf("%s without the root: index %d, %d labels, %v", name, i, labels, ok)
		}
	}
	if _, err := NewSet([]string{"a..b"}); err == nil {
		t.Error("a..b is a zone")
	}
}
