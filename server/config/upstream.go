package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// The ports of upstreams that name none.
const (
	dnsPort   = 53
	tlsPort   = 853
	httpsPort = 443
	quicPort  = 853
)

// transports are the schemes of upstreams, with the port of each.
var transports = map[string]struct {
	transport resolver.Transport
	port      uint16
}{
	"dns":   {resolver.OverDNS, dnsPort},
	"tls":   {resolver.OverTLS, tlsPort},
	"https": {resolver.OverHTTPS, httpsPort},
	"quic":  {resolver.OverQUIC, quicPort},
}

// upstreams reads TO…, each an address, a name, or a file like /etc/resolv.conf. A file without nameservers is an error
// only when there is no other upstream: a machine without a network has such a file.
func (a *args) upstreams(f *resolver.Forward) {
	var empty []error
	servers := 0
	for _, w := range a.atLeastOne("an upstream after the zone, such as . 9.9.9.9 or . /etc/resolv.conf") {
		u, n, err := a.upstream(w)
		if err != nil {
			empty = append(empty, err)
		}
		if (u == resolver.Upstream{}) || slices.Contains(f.To, u) {
			continue
		}
		f.To = append(f.To, u)
		servers += n
	}
	for _, err := range empty {
		if servers == 0 {
			a.fail("%v", err)
			continue
		}
		a.warnf("%v; only the other upstreams are asked until it has one", err)
	}
	if servers > resolver.MostUpstreams {
		a.fail("has %d upstreams, wants at most %d", servers, resolver.MostUpstreams)
	}
}

// upstream parses one word of TO…, which stands for n servers; err says why a file has no nameserver.
func (a *args) upstream(word string) (u resolver.Upstream, n int, err error) {
	scheme, host, given := strings.Cut(word, "://")
	if !given {
		scheme, host = "dns", word
	}
	of, known := transports[scheme]
	switch {
	case known:
	case scheme == "grpc":
		a.fail("%q: upstreams of gRPC are those of the directive grpc", word)
		return u, 0, nil
	default:
		a.fail("%q: unknown scheme %s://, wants dns://, tls://, https:// or quic://", word, scheme)
		return u, 0, nil
	}
	if scheme == "https" && strings.Contains(host, "/") {
		a.fail("%q: takes no path, it is /dns-query", word)
		return u, 0, nil
	}
	u.Transport = of.transport
	if of.transport != resolver.OverDNS {
		host, u.ServerName = cutServerName(host)
	}
	if address, ok := upstreamAddress(host, of.port); ok {
		u.Address = address
		return u, 1, nil
	}
	if bare, port, err := net.SplitHostPort(host); err == nil {
		if _, err := netip.ParseAddr(bare); err == nil {
			a.fail("%q: port %q is not between 1 and 65535", word, port)
			return resolver.Upstream{}, 0, nil
		}
	}
	n, err = a.nameservers(host, of.port)
	if host != "" && (!errors.Is(err, fs.ErrNotExist) || strings.Contains(host, "/")) {
		return resolver.Upstream{Transport: of.transport, File: host, Port: of.port, ServerName: u.ServerName}, n, err
	}
	if u.Host, u.Port = upstreamHost(host, of.port); u.Host == "" {
		hint := when(strings.HasSuffix(word, ",") || strings.HasSuffix(word, ";"), " (spaces separate upstreams, and a line has no end mark)")
		a.fail("%q is neither an IP address, nor a file with nameservers, nor the name of a host%s", word, hint)
		return resolver.Upstream{}, 0, nil
	}
	return u, 1, nil
}

// hostName is the form of a host's name: letters, digits, hyphens and underscores, and a last label that is no number, so
// that a mistyped address is none.
var hostName = regexp.MustCompile(`^(?i:[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_-]*[a-zA-Z][a-zA-Z0-9_-]*\.?$`)

// upstreamHost splits a host's name and its port; the name is "" when it is none.
func upstreamHost(s string, port uint16) (string, uint16) {
	if host, digits, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return "", 0
		}
		s, port = host, uint16(n)
	}
	if !hostName.MatchString(s) || !isDomainName(s) {
		return "", 0
	}
	return dns.CanonicalName(s), port
}

// cutServerName splits 9.9.9.9%dns.quad9.net:853, which has the name of the certificate between address and port.
func cutServerName(s string) (host, name string) {
	host, rest, found := strings.Cut(s, "%")
	if !found {
		return s, ""
	}
	end := strings.IndexAny(rest+"]", "]:")
	return host + rest[end:], rest[:end]
}

func upstreamAddress(s string, port uint16) (netip.AddrPort, bool) {
	if full, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(resolver.Scoped(full.Addr()), full.Port()), full.Port() != 0
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	address, err := netip.ParseAddr(s)
	return netip.AddrPortFrom(resolver.Scoped(address), port), err == nil
}

// nameservers is how many a file like /etc/resolv.conf names, at least one.
func (a *args) nameservers(file string, port uint16) (int, error) {
	content, err := a.read(file)
	if err != nil {
		return 0, fmt.Errorf("%q is neither an IP address nor a file with nameservers: %w", file, err)
	}
	all, wrong, err := resolver.Nameservers(content, port)
	for _, w := range wrong {
		a.warnf("%s: nameserver %s is no IP address and is passed over", file, w)
	}
	if err != nil {
		return 0, fmt.Errorf("%q %w", file, err)
	}
	return len(all), nil
}
