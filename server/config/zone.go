package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// key is one [scheme://]ZONE[:port].
type key struct {
	zones  []string // one, or the reverse zones of a CIDR block
	scheme resolver.Scheme
	port   uint16
}

func parseKey(text string, port uint16) (key, error) {
	word, rest, found := strings.Cut(text, "://")
	if !found {
		word, rest = string(resolver.Do53), text
	}
	scheme := resolver.Scheme(word)
	if !scheme.Known() {
		return key{}, fmt.Errorf("%q: unknown scheme %s://, wants dns://, tls://, https://, https3://, quic:// or grpc://",
			text, word)
	}
	zone, port, err := cutPort(rest, cmp.Or(scheme.Port(), port))
	if err != nil {
		return key{}, err
	}
	zones, err := parseZone(zone)
	if host, path, has := strings.Cut(rest, "/"); found && has && (err != nil || path == "dns-query") {
		return key{}, fmt.Errorf("%q: takes no path, write %s://%s (the path is /dns-query)", text, word, host)
	}
	if digits := strings.TrimPrefix(rest, "."); err != nil && strings.Trim(digits, "0123456789:") == "" && digits != "" {
		err = fmt.Errorf("%w (did you mean \".:%s\"?)", err, strings.TrimPrefix(digits, ":"))
	}
	return key{zones, scheme, port}, err
}

// cutPort cuts ":port" off the end. The address in a CIDR block may hold colons too, but then a /length follows the
// last of them.
func cutPort(s string, port uint16) (string, uint16, error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || strings.Contains(s[colon:], "/") {
		return s, port, nil
	}
	n, err := strconv.ParseUint(s[colon+1:], 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q: %q is not a port from 0 to 65535", s, s[colon+1:])
	}
	return s[:colon], uint16(n), nil
}

func parseZone(s string) ([]string, error) {
	if address, length, found := strings.Cut(s, "/"); found {
		if _, err := netip.ParseAddr(address); err == nil {
			prefix, err := netip.ParsePrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%q: /%s is not a length of a prefix", s, length)
			}
			return reverseZones(prefix.Masked()), nil
		}
	}
	if !isDomainName(s) || strings.ContainsAny(s, ": \t\r\n") {
		return nil, fmt.Errorf("%q is not a domain name or CIDR block", s)
	}
	return []string{dns.CanonicalName(s)}, nil
}

// isDomainName reports whether s is a name of at most 255 octets on the wire (RFC 1035 section 2.3.4). miekg/dns lets
// two more pass.
func isDomainName(s string) bool {
	_, ok := dns.IsDomainName(s)
	_, err := wire.ParseName(s)
	return ok && err == nil
}

// doubts says what a zone looks like that it is not, for warnings. It is served all the same, as in CoreDNS.
func doubts(zone string) (all []string) {
	if strings.Contains(zone, ",") {
		all = append(all, fmt.Sprintf("%q is one zone with a comma in its name: spaces separate zones", zone))
	}
	switch {
	case strings.ContainsRune(zone, utf8.RuneError):
		all = append(all, fmt.Sprintf("%q has an octet that is not UTF-8, and is no name that clients ask for", zone))
	case strings.ContainsFunc(zone, func(r rune) bool { return r >= utf8.RuneSelf }):
		all = append(all, fmt.Sprintf("%q is not ASCII: clients ask for such a name in its form xn--…", zone))
	}
	return all
}

// keyDoubts is doubts of what stands before the block.
func keyDoubts(text string) (all []string) {
	switch {
	case strings.Trim(text, "0123456789") == "":
		all = append(all, fmt.Sprintf("%q is read as a zone: a port stands behind a zone and a colon, as in .:%s", text, text))
	case text == "*" || strings.HasPrefix(text, "*:"):
		all = append(all, fmt.Sprintf("%q is no wildcard: \".\" is the zone of all names", text))
	}
	return append(all, doubts(text)...)
}

// reverseZones is the zones below in-addr.arpa (RFC 1035 section 3.5) or ip6.arpa (RFC 3596 section 2.5) that cover a
// prefix exactly. A prefix that ends within a label has one zone for each value that the label may take: at most 128.
func reverseZones(p netip.Prefix) []string {
	digits, width, apex := addressDigits(p.Addr())
	labels := (p.Bits() + width - 1) / width
	zones := make([]string, 1<<(labels*width-p.Bits()))
	for i := range zones {
		zones[i] = apex
		for n, d := range digits[:labels] {
			if n == labels-1 {
				d += i
			}
			zones[i] = label(d, width) + "." + zones[i]
		}
	}
	return zones
}

// addressDigits splits an address into its labels in the reverse tree, most significant first, each of width bits.
func addressDigits(a netip.Addr) (digits []int, width int, apex string) {
	if a.Is4() {
		for _, b := range a.As4() {
			digits = append(digits, int(b))
		}
		return digits, 8, "in-addr.arpa."
	}
	for _, b := range a.As16() {
		digits = append(digits, int(b>>4), int(b&15))
	}
	return digits, 4, "ip6.arpa."
}

func label(digit, width int) string {
	if width == 4 {
		return strconv.FormatInt(int64(digit), 16)
	}
	return strconv.Itoa(digit)
}
