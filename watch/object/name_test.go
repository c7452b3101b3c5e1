package object

import (
	"net/netip"
	"testing"

	netutils "k8s.io/utils/net"
)

// FuzzParseAddr compares ParseAddr with what Kubernetes reads addresses with.
func FuzzParseAddr(f *testing.F) {
	for _, text := range []string{"10.96.0.1", "010.096.00.050", "::ffff:10.96.0.51", "::FFFF:a60:33", "::ffff:010.0.0.1",
		"fd00::0001", "fe80::1%eth0", "::ffff:1.2.3.4%lo", "10.96.0.256", "1.2.3", "", "0x1.2.3.4", "::1.2.3.4"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, read := netip.AddrFromSlice(netutils.ParseIPSloppy(text))
		if got, ok := ParseAddr(text); ok != read || ok && got != want.Unmap() {
			t.Errorf("%q: %v %t, want %v %t", text, got, ok, want.Unmap(), read)
		}
	})
}
