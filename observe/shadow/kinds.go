package shadow

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// kind is a way in which clusterdns answers otherwise than CoreDNS on purpose. README.md has the reasons, and what else
// differs beside rcodes and answer sections.
type kind struct {
	name     string
	why      string
	explains func(*pair) bool
}

// kinds are tried in order.
var kinds = []kind{
	{"class", "clusterdns answers class IN alone, and takes ANY for it (RFC 1035 section 3.2.4)",
		func(p *pair) bool { return p.Qclass != dns.ClassINET }},
	{"any", "ANY gets one rrset of the name (RFC 8482)",
		func(p *pair) bool { return p.Qtype == dns.TypeANY }},
	{"size", "one of the answers was cut, and has no record that the other has not",
		func(p *pair) bool {
			return p.ours.Rcode == p.theirs.Rcode &&
				(p.ours.Cut && p.ours.within(&p.theirs) || p.theirs.Cut && p.theirs.within(&p.ours))
		}},
	{"case", "names of the zone are found in any case (RFC 4343)",
		func(p *pair) bool {
			return p.Name != p.name && p.ours.Own && p.ours.Rcode == dns.RcodeSuccess && p.theirs.Rcode == dns.RcodeNameError
		}},
	{"clusterset-version", "dns-version of a clusterset is that of the Multicluster specification",
		func(p *pair) bool {
			return strings.HasPrefix(p.name, "dns-version.") && p.ours.count(dns.TypeTXT) == 1 && p.theirs.count(dns.TypeTXT) == 1
		}},
	{"name-server", "SOA and NS records name servers that exist, and a serial stands for one content (RFC 1982)",
		func(p *pair) bool {
			return (p.Qtype == dns.TypeSOA || p.Qtype == dns.TypeNS) && p.ours.Own &&
				p.ours.count(p.Qtype) > 0 && p.theirs.count(p.Qtype) > 0
		}},
	{"pod-name", "the name of a pod is its address with dashes, in the cluster's zone, without ports or names below it",
		func(p *pair) bool { return p.ours.Own && p.otherPod() }},
	{"wildcard", "a label _ is a label, not any port or protocol",
		func(p *pair) bool {
			return p.ours.Own && p.ours.Rcode == dns.RcodeNameError && slices.Contains(p.labels, "_")
		}},
	{"alias", "an alias is answered to every type, with what it leads to, and followed ten times (RFC 1034 section 3.6.2)",
		(*pair).shortAlias},
	{"nodata", "the name exists, or has names below it: no NXDOMAIN (RFC 8020)",
		func(p *pair) bool { return p.ours.Own && p.ours.empty() && p.theirs.Rcode == dns.RcodeNameError }},
	{"nxdomain", "the name does not exist, whatever the type (RFC 8020)",
		func(p *pair) bool {
			return p.ours.Own && p.ours.Rcode == dns.RcodeNameError && p.theirs.empty() &&
				(p.Qtype == dns.TypeSOA || slices.Contains(p.labels, "_zone"))
		}},
	{"reverse-name", "a reverse zone has whole reverse names alone",
		func(p *pair) bool { return p.ours.Own && len(p.ours.records) == 0 && p.oddReverse() }},
	{"upstream", "what is forwarded: the upstreams gave each server other records",
		func(p *pair) bool {
			return !p.ours.Own && p.ours.Rcode == dns.RcodeSuccess && p.theirs.Rcode == dns.RcodeSuccess &&
				p.ours.count(p.Qtype) > 0 && p.theirs.count(p.Qtype) > 0
		}},
}

// mostLinks is how many aliases clusterdns follows.
const mostLinks = 10

// Late explains a difference that is gone when the second server is asked again: its cache, or its watch, was behind.
var Late = Verdict{Kind: "late", Explained: true,
	Why: "both servers agree a moment later: a cache or a watch was behind"}

// shortAlias reports what CoreDNS says of an alias of its own zones: NODATA unless it leads to an address; to other types
// perhaps the alias alone; and of a chain without an end its beginning, or one link more. A failure is none of these.
func (p *pair) shortAlias() bool {
	links := p.ours.count(dns.TypeCNAME)
	if links == 0 || !p.ours.Own || p.theirs.Rcode != dns.RcodeSuccess {
		return false
	}
	part := p.theirs.within(&p.ours) && len(p.theirs.records) < len(p.ours.records)
	if p.ours.Rcode == dns.RcodeServerFailure {
		return part || links >= mostLinks && p.ours.within(&p.theirs)
	}
	address := p.Qtype == dns.TypeA || p.Qtype == dns.TypeAAAA
	return part && (!address || p.theirs.empty() && p.ours.count(p.Qtype) == 0)
}

// otherPod reports what CoreDNS takes for the name of a pod and clusterdns does not, or the other way round.
func (p *pair) otherPod() bool {
	at := slices.Index(p.labels, "pod")
	if at < 2 {
		return false
	}
	first := p.labels[at-2]
	switch {
	case len(p.ours.records) > 0: // CoreDNS compares the text of addresses
		address, err := netip.ParseAddr(strings.ReplaceAll(first, "-", ":"))
		return err == nil && address.Is6() && p.theirs.Rcode == dns.RcodeNameError
	case p.theirs.Rcode != dns.RcodeSuccess:
		return false
	}
	return at > 2 || p.Qtype == dns.TypeSRV || strings.Contains(first, ":") || slices.Contains(p.labels, "clusterset")
}

// oddReverse reports a name in a reverse zone that is no address of its own.
func (p *pair) oddReverse() bool {
	front, v4 := strings.CutSuffix(p.name, ".in-addr.arpa.")
	v6 := false
	if !v4 {
		front, v6 = strings.CutSuffix(p.name, ".ip6.arpa.")
	}
	if !v4 && !v6 {
		return false
	}
	labels := dns.SplitDomainName(front + ".")
	if v6 {
		return len(labels) != 32 || slices.ContainsFunc(labels, func(l string) bool {
			return len(l) != 1 || !strings.Contains("0123456789abcdef", l)
		})
	}
	_, err := netip.ParseAddr(strings.Join(labels, "."))
	return len(labels) != 4 || err != nil
}
