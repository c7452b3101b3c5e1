package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// upstreams reads TO…, each an address or a file like /etc/resolv.conf, and returns the TLS server name in them. A file
// without nameservers is an error only when there is no other upstream: a machine without a network has such a file.
func (a *args) upstreams(f *resolver.Forward) (serverName string) {
	var empty []error
	for _, w := range a.atLeastOne("an upstream after the zone, such as . 9.9.9.9 or . /etc/resolv.conf") {
		found, name, err := a.upstream(w)
		if err != nil {
			empty = append(empty, err)
		}
		if name != "" && serverName != "" && name != serverName {
			a.fail("different TLS server names, %q and %q, are not supported yet: use a forward for each",
				serverName, name)
		}
		if name != "" {
			serverName = name
		}
		for _, u := range found {
			if !slices.Contains(f.To, u) {
				f.To = append(f.To, u)
			}
		}
	}
	for _, err := range empty {
		if len(f.To) == 0 {
			a.fail("%v", err)
		}
		a.warnf("%v; only the other upstreams are asked", err)
	}
	if len(f.To) > mostUpstreams {
		a.fail("has %d upstreams, wants at most %d", len(f.To), mostUpstreams)
	}
	return serverName
}

// upstream parses one word of TO…; err says why a file has no nameserver.
func (a *args) upstream(word string) (found []resolver.Upstream, serverName string, err error) {
	scheme, host, given := strings.Cut(word, "://")
	if !given {
		scheme, host = "dns", word
	}
	switch scheme {
	case "dns":
	case "tls":
		host, serverName = cutServerName(host)
	case "https", "quic", "grpc", "unix":
		a.fail("%q: %s:// is not supported yet, only dns:// and tls://", word, scheme)
		return nil, "", nil
	default:
		a.fail("%q: unknown scheme %s://, wants dns:// or tls://", word, scheme)
		return nil, "", nil
	}
	if address, ok := upstreamAddress(host, scheme); ok {
		return []resolver.Upstream{{Address: address, TLS: scheme == "tls"}}, serverName, nil
	}
	if bare, port, err := net.SplitHostPort(host); err == nil {
		if _, err := netip.ParseAddr(bare); err == nil {
			a.fail("%q: port %q is not between 1 and 65535", word, port)
			return nil, "", nil
		}
	}
	if given {
		a.fail("%q: wants an IP address after %s://", word, scheme)
		return nil, "", nil
	}
	found, err = a.nameservers(word)
	if errors.Is(err, fs.ErrNotExist) && !strings.Contains(word, "/") {
		a.fail("%q is neither an IP address nor a file; the name of an upstream is not supported yet", word)
	}
	return found, "", err
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

func upstreamAddress(s, scheme string) (netip.AddrPort, bool) {
	if full, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(usable(full.Addr()), full.Port()), full.Port() != 0
	}
	port := uint16(53)
	if scheme == "tls" {
		port = 853
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	address, err := netip.ParseAddr(s)
	return netip.AddrPortFrom(usable(address), port), err == nil
}

// usable drops the zone of an address, which follows its %, unless it is link-local: only those need their interface.
func usable(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.IsLinkLocalUnicast() {
		return a
	}
	return a.WithZone("")
}

// nameservers reads those of a file like /etc/resolv.conf, at least one.
func (a *args) nameservers(file string) (all []resolver.Upstream, err error) {
	content, err := a.read(file)
	if err != nil {
		return nil, fmt.Errorf("%q is neither an IP address nor a file with nameservers: %w", file, err)
	}
	conf, err := dns.ClientConfigFromReader(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", file, err)
	}
	for _, server := range conf.Servers {
		address, ok := upstreamAddress(server, "dns")
		if !ok {
			a.warnf("%s: nameserver %s is no IP address and is passed over", file, server)
			continue
		}
		all = append(all, resolver.Upstream{Address: address})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%q names no nameserver", file)
	}
	return all, nil
}
