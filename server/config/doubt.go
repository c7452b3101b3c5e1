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
	b.warnOutside(r)
	if r.shared {
		b.warnOurs(r)
	}
	for i := range b.Steps.Kubernetes {
		for _, zone := range b.Steps.Kubernetes[i].Zones {
			b.warnCluster(zone, r)
		}
	}
}

// ours are the directives that no CoreDNS has.
var ours = []string{"dashboard", "local_address", "search", "shadow"}

// warnOurs warns of directives in a ConfigMap that CoreDNS may read: it takes no Corefile with one that it does not know.
func (b *blockReader) warnOurs(r *Report) {
	for _, name := range ours {
		if at, has := b.seen[name]; has {
			r.warn(at, "%s: CoreDNS does not know this directive: if it reads this ConfigMap too, it will not start again. "+
				"Write the directive into a Corefile that clusterdns alone reads", name)
		}
	}
}

// warnOutside warns of zones of directives that are not asked for, unless the block itself may ask for other names than
// its clients. Reverse zones pass: they often stand beside the cluster's, in a block without them.
func (b *blockReader) warnOutside(r *Report) {
	renames := func(rule resolver.Rewrite) bool { return rule.Field == resolver.RewriteName }
	if b.Steps.Autopath != nil || b.Steps.Search != nil || slices.ContainsFunc(b.Steps.Rewrites, renames) {
		return
	}
	for _, n := range b.named {
		overlaps := func(other string) bool { return dns.IsSubDomain(other, n.zone) || dns.IsSubDomain(n.zone, other) }
		if !resolver.IsReverse(n.zone) && !slices.ContainsFunc(b.zones, overlaps) {
			r.warn(n.at, "%s: %s is never asked for: it is outside of the block's zones %s", n.directive, n.zone,
				names(b.zones))
		}
	}
}

// namedZone is a zone of a directive.
type namedZone struct {
	at              position
	directive, zone string
}

// zonesOf is the zones of all directives of a name so far.
func (b *blockReader) zonesOf(directive string) []string {
	o := &b.Steps
	switch directive {
	case "dnssec":
		return of(pointed(o.Dnssec), func(d resolver.Dnssec) []string { return d.Zones })
	case "acl":
		return of(o.ACLs, func(a resolver.ACL) []string { return a.Zones })
	case "template":
		return of(o.Templates, func(t resolver.Template) []string { return t.Zones })
	case "hosts":
		return of(pointed(o.Hosts), func(h resolver.Hosts) []string { return h.Zones })
	case "k8s_external":
		return of(o.Externals, func(e resolver.External) []string { return e.Zones })
	case "k8s_gateway":
		return of(o.Gateways, func(g resolver.Gateway) []string { return g.Zones })
	case "kubernetes":
		return of(o.Kubernetes, func(k resolver.Kubernetes) []string { return k.Zones })
	case "file":
		return of(o.Files, func(f resolver.ZoneFile) []string { return f.Zones })
	case "auto":
		return of(o.Folders, func(f resolver.ZoneFolder) []string { return f.Zones })
	case "secondary":
		return of(o.Secondaries, func(s resolver.Secondary) []string { return s.Zones })
	case "etcd":
		return of(o.Etcd, func(e resolver.Etcd) []string { return e.Zones })
	case "cache":
		return of(pointed(o.Cache), func(c resolver.Cache) []string { return c.Zones })
	case "forward", "proxy":
		return of(o.Forwards, func(f resolver.Forward) []string { return []string{f.From} })
	case "grpc":
		return of(b.grpcs, func(f resolver.Forward) []string { return []string{f.From} })
	}
	return nil
}

// of is the zones of each of a list, in order.
func of[T any](list []T, zones func(T) []string) (all []string) {
	for i := range list {
		all = append(all, zones(list[i])...)
	}
	return all
}

// pointed is a list of what p points to, if it does.
func pointed[T any](p *T) []T {
	if p == nil {
		return nil
	}
	return []T{*p}
}

// warnCluster warns of a zone of a cluster that hosts takes.
func (b *blockReader) warnCluster(zone string, r *Report) {
	if resolver.IsReverse(zone) {
		return
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
					r.warn(b.forwards[i], "forward: %s is where this block listens: it asks itself", u.Address)
				}
			}
		}
	}
}
