package config

import (
	"bytes"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones"
)

// ownResolvConf has the search list of this machine, or of the node: the domains that a pod has behind those of its
// cluster.
const ownResolvConf = "/etc/resolv.conf"

// autopath [ZONES…] @kubernetes|FILE
func (b *blockReader) autopath(a *args) {
	const want = "@kubernetes, or a file like /etc/resolv.conf with a search list"
	if len(a.words) == 0 {
		a.fail("needs %s", want)
		return
	}
	last := len(a.words) - 1
	from := a.words[last]
	o := &resolver.Autopath{Zones: slices.Clone(b.zones)}
	if last > 0 {
		zones := *a
		zones.statement.words, zones.statement.unset = a.words[:last], a.unset[:last+1]
		o.Zones = zones.zones()
		a.err = zones.err
	}
	a.used = len(a.words)
	a.finish()
	provider, provided := strings.CutPrefix(from, "@")
	switch {
	case provided && provider != "kubernetes":
		a.warnf("%s gives no search list and autopath has no effect: only @kubernetes does", from)
		return
	case provided:
		o.Kubernetes = true
		b.autopathAt = a
		if _, err := a.read(ownResolvConf); err == nil {
			o.Search, _ = a.searchList(ownResolvConf)
		}
	default:
		list, ok := a.searchList(from)
		if o.Search = list; ok && len(list) == 0 {
			a.warnf("%q has no search list and autopath has no effect", from)
		}
	}
	b.Steps.Autopath = o
}

// searchList is that of a file like /etc/resolv.conf. The root as a domain is the bare name, which comes last anyway.
func (a *args) searchList(file string) (list []string, ok bool) {
	content, ok := a.content(file)
	if !ok {
		return nil, false
	}
	conf, err := dns.ClientConfigFromReader(bytes.NewReader(content))
	if err != nil {
		a.fail("%q: %v", file, err)
		return nil, false
	}
	for _, domain := range conf.Search {
		key, err := parseKey(domain, 0)
		if err != nil || len(key.zones) != 1 {
			a.warnf("%s: %q is no domain and is passed over", file, domain)
		} else if key.zones[0] != "." {
			list = append(list, key.zones[0])
		}
	}
	return list, true
}

// checkAutopath warns of @kubernetes where no pod is known by its address.
func (b *blockReader) checkAutopath() {
	verified := func(k resolver.Kubernetes) bool { return k.Pods == zones.PodsVerified }
	if b.autopathAt != nil && !slices.ContainsFunc(b.Steps.Kubernetes, verified) {
		b.autopathAt.warnf("has no effect: it needs a kubernetes with `pods verified` in the same block, to know the " +
			"namespace of a client")
	}
}

func usesAutopath(b *Block) bool { return b.Steps.Autopath != nil }

func summarizeAutopath(b *Block, s *summary) {
	o := b.Steps.Autopath
	if o == nil {
		return
	}
	l := s.step("autopath for %s", names(o.Zones))
	l.add(o.Kubernetes, "domains of the client's pod")
	l.add(len(o.Search) > 0, "search %s", names(o.Search))
}
