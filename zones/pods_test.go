package zones

import (
	"net/netip"
	"strings"
	"testing"
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
