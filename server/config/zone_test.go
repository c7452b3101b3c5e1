package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestReverseZones(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.0.0.0/8":   "10.in-addr.arpa.",
		"0.0.0.0/0":    "in-addr.arpa.",
		"10.96.0.0/12": "96.10.in-addr.arpa. 97.10.in-addr.arpa. 98.10.in-addr.arpa. … 111.10.in-addr.arpa. (16)",
		"192.0.2.252/30": "252.2.0.192.in-addr.arpa. 253.2.0.192.in-addr.arpa. " +
			"254.2.0.192.in-addr.arpa. 255.2.0.192.in-addr.arpa.",
		"192.0.2.1/32":    "1.2.0.192.in-addr.arpa.",
		"10.1.2.3/15":     "0.10.in-addr.arpa. 1.10.in-addr.arpa.",
		"::/0":            "ip6.arpa.",
		"2001:db8::/32":   "8.b.d.0.1.0.0.2.ip6.arpa.",
		"2001:db8::/31":   "8.b.d.0.1.0.0.2.ip6.arpa. 9.b.d.0.1.0.0.2.ip6.arpa.",
		"fd00:10:98::/47": "8.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa. 9.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa.",
		"2001:db8::1/128": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.",
		"10.0.0.0/17": "0.0.10.in-addr.arpa. 1.0.10.in-addr.arpa. 2.0.10.in-addr.arpa. " +
			"… 127.0.10.in-addr.arpa. (128)",
		"2001:db8:8000::/33": "8.8.b.d.0.1.0.0.2.ip6.arpa. 9.8.b.d.0.1.0.0.2.ip6.arpa. " +
			"a.8.b.d.0.1.0.0.2.ip6.arpa. … f.8.b.d.0.1.0.0.2.ip6.arpa. (8)",
	} {
		if got := sample(reverseZones(netip.MustParsePrefix(prefix).Masked())); got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}

func sample(zones []string) string {
	if len(zones) <= 4 {
		return strings.Join(zones, " ")
	}
	return strings.Join(zones[:3], " ") + " … " + zones[len(zones)-1] + " (" + label(len(zones), 8) + ")"
}

func TestDidYouMean(t *testing.T) {
	known := []string{"forward", "cache", "hosts", "health", "log", "loop"}
	for word, want := range map[string]string{
		"forwrad": "forward", "forwad": "forward", "cahce": "cache", "host": "hosts", "heath": "health",
		"Cache": "cache", "lgo": "log",
		"xyzzy": "", "": "", "l": "", strings.Repeat("x", 1<<20): "",
	} {
		got := DidYouMean(word, slices.Clone(known))
		if want != "" {
			want = ` (did you mean "` + want + `"?)`
		}
		if got != want {
			t.Errorf("%.20s: got %s, want %s", word, got, want)
		}
	}
}
