package config

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// Dots of the names that clients ask for by their search list: one at least, for a name without is also that of a service
// in the client's own namespace; and fewer than the kubelet's ndots, 5.
const (
	leastDots = 1
	mostDots  = 4
)

// search [ZONES…] { domains DOMAIN…|FILE…|off; dots LEAST MOST }
func (b *blockReader) search(a *args) {
	s := &resolver.Search{Zones: a.zonesOr(b.zones...), Least: leastDots, Most: mostDots}
	given := false
	a.options(options{
		"domains": func(o *args) {
			given = true
			s.Domains = append(s.Domains, o.hostDomains()...)
		},
		"dots": func(o *args) {
			s.Least = o.number(1, 127)
			s.Most = o.number(max(s.Least, 1), 127)
		},
	})
	if !given {
		if _, err := a.read(ownResolvConf); err == nil {
			s.Domains, _ = a.searchList(ownResolvConf)
		}
	}
	b.Steps.Search, b.searchAt = s, a
}

// hostDomains reads DOMAIN…, FILE… with search lists, or off.
func (a *args) hostDomains() (list []string) {
	for _, word := range a.atLeastOne("domains, a file like /etc/resolv.conf with a search list, or off") {
		switch {
		case strings.Contains(word, "/"):
			found, _ := a.searchList(word)
			list = append(list, found...)
		case word == "off":
		default:
			key, err := parseKey(word, 0)
			if err != nil || len(key.zones) != 1 || key.zones[0] == "." {
				a.fail("%q is no domain", word)
				return nil
			}
			list = append(list, key.zones[0])
		}
	}
	return list
}

// checkSearch has the clusters of the block keep who asks, and search leave out the domains of a cluster, which stand at
// the beginning of each list already: they are in the resolv.conf of this server if its own pod asks the cluster's DNS. It
// warns where no client can be known.
func (b *blockReader) checkSearch() {
	s := b.Steps.Search
	if s == nil {
		return
	}
	if at, has := b.seen["autopath"]; has {
		b.searchAt.warnf("the block has autopath too, at %s, which goes through the search list also for names that search leaves "+
			"alone: take it away", at)
	}
	if len(b.Steps.Kubernetes) == 0 && !b.refused {
		b.searchAt.warnf("has no effect: it needs a kubernetes in the same block, to know the namespace of a client")
	}
	for i := range b.Sources {
		b.Sources[i].Objects.Who = true
	}
	s.Domains = slices.DeleteFunc(s.Domains, func(domain string) bool {
		return slices.ContainsFunc(b.Steps.Kubernetes, func(k resolver.Kubernetes) bool {
			return slices.ContainsFunc(k.Zones, func(zone string) bool { return dns.IsSubDomain(zone, domain) })
		})
	})
}

func usesSearch(b *Block) bool { return b.Steps.Search != nil }

func summarizeSearch(b *Block, s *summary) {
	o := b.Steps.Search
	if o == nil {
		return
	}
	l := s.step("search for %s", names(o.Zones))
	l.add(len(o.Domains) > 0, "host domains %s", names(o.Domains))
	l.add(o.Least != leastDots || o.Most != mostDots, "names of %d to %d dots", o.Least, o.Most)
}
