package config

import (
	"slices"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// answering is the directives that answer questions; with all others alone a block refuses what it is asked.
var answering = []string{"acl", "any", "auto", "chaos", "erratic", "etcd", "file", "forward", "grpc", "hosts", "k8s_external",
	"k8s_gateway", "kubernetes", "local", "proxy", "secondary", "sign", "template", "whoami"}

// warnDoubts has `check` warn of what a block says and hardly means.
func (b *blockReader) warnDoubts(r *Report) {
	if b.refused || !r.lenient {
		return
	}
	answers := func(name string) bool { _, has := b.seen[name]; return has }
	if len(b.seen) > 0 && !slices.ContainsFunc(answering, answers) {
		r.warn(b.at, "no directive of the block answers: all that it is asked is REFUSED")
	}
	b.warnMetadata(r)
	for i := range b.Steps.Kubernetes {
		for _, zone := range b.Steps.Kubernetes[i].Zones {
			b.warnCluster(zone, r)
		}
	}
}

// warnCluster warns of a zone of a cluster that is not asked, or that hosts takes.
func (b *blockReader) warnCluster(zone string, r *Report) {
	if resolver.IsReverse(zone) {
		return
	}
	overlaps := func(other string) bool { return dns.IsSubDomain(other, zone) || dns.IsSubDomain(zone, other) }
	if !slices.ContainsFunc(b.zones, overlaps) {
		r.warn(b.seen["kubernetes"], "kubernetes: %s is never asked for: it is outside of the block's zones %s", zone,
			names(b.zones))
	}
	h := b.Steps.Hosts
	within := func(other string) bool { return dns.IsSubDomain(other, zone) }
	if h != nil && len(h.Fallthrough.Zones) == 0 && slices.ContainsFunc(h.Zones, within) {
		r.warn(b.seen["hosts"], "hosts: stands before kubernetes and has no fallthrough: names of %s that are not in it do not "+
			"exist", zone)
	}
}

// warnItself has `check` warn of upstreams that are the block itself.
func (b *blockReader) warnItself(r *Report) {
	if !r.lenient {
		return
	}
	for i := range b.Steps.Forwards {
		f := &b.Steps.Forwards[i]
		for _, u := range f.To {
			for _, bound := range b.addresses() {
				here := bound.Addr == u.Address.Addr() || bound.IsUnspecified() && u.Address.Addr().IsLoopback()
				sent := func(k located) bool {
					return k.port == u.Address.Port() && slices.ContainsFunc(k.zones, func(zone string) bool {
						return dns.IsSubDomain(zone, f.From)
					})
				}
				if u.Address.IsValid() && u.Transport == resolver.OverDNS && here && slices.ContainsFunc(b.keys, sent) {
					r.warn(b.seen["forward"], "forward: %s is where this block listens: it asks itself", u.Address)
				}
			}
		}
	}
}
