package config

import (
	"slices"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/watch"
)

// The defaults of k8s_gateway, which are those of the external plugin of that name.
const (
	defaultGatewayTTL  = time.Minute
	defaultGatewayApex = "dns1.kube-system"
)

// gatewayResources are what a name may come from.
var gatewayResources = []string{"Ingress", "Service", "HTTPRoute", "TLSRoute", "GRPCRoute", "DNSEndpoint"}

// k8s_gateway [ZONES…] { resources …; ttl SECONDS; apex NAME; secondary NAME; kubeconfig FILE [CONTEXT]; … }
func (b *blockReader) gateway(a *args) {
	g := resolver.Gateway{Zones: a.zonesOr(b.zones...), TTL: defaultGatewayTTL, Apex: defaultGatewayApex}
	source := Source{At: a.at.String(), StartupTimeout: watch.StartupTimeout}
	o := &source.Objects
	h := &o.Hosts
	h.Resources = "Ingress Service"
	a.options(options{
		"resources":      func(o *args) { h.Resources = gatewayNames(o) },
		"ttl":            func(o *args) { g.TTL = o.seconds(0, 3600) },
		"apex":           func(o *args) { g.Apex = strings.TrimSuffix(o.word("a name below the zone"), ".") },
		"secondary":      func(o *args) { h.Secondary = strings.TrimSuffix(o.word("a name below the zone"), ".") },
		"kubeconfig":     func(a *args) { kubeconfig(a, o) },
		"manifests":      func(a *args) { o.Manifests = inFolder(b.folder, a.word("a folder")); a.checkFolder(o.Manifests) },
		"fallthrough":    func(o *args) { g.Fallthrough.Zones = o.zonesOr(".") },
		"ingressClasses": func(o *args) { h.IngressClasses = strings.Join(o.atLeastOne("a class of Ingresses"), " ") },
		"gatewayClasses": func(o *args) { h.GatewayClasses = strings.Join(o.atLeastOne("a class of Gateways"), " ") },

		"serviceLabelSelectors": func(o *args) { h.ServiceSelectors = serviceSelectors(o) },

		"configFile":      nil,
		"nodeAddressType": nil,
		"clientFiltering": nil,
	})
	for _, z := range g.Zones {
		if err := resolver.CheckExternal(z, g.Apex); err != nil {
			a.fail("%v", err)
		}
	}
	o.NoEndpoints = true
	h.Zones, h.TTL, h.NameServer = strings.Join(g.Zones, " "), uint32(g.TTL.Seconds()), g.Apex
	b.Steps.Gateways, b.Gateways = append(b.Steps.Gateways, g), append(b.Gateways, source)
}

// gatewayNames reads resources.
func gatewayNames(o *args) string {
	names := o.atLeastOne("Ingress, Service or another resource")
	for _, name := range names {
		if !slices.Contains(gatewayResources, name) {
			o.fail("got %q, wants Ingress, Service, HTTPRoute, TLSRoute, GRPCRoute or DNSEndpoint", name)
		}
	}
	return strings.Join(names, " ")
}

// serviceSelectors reads label selectors, of which a service has to match one.
func serviceSelectors(o *args) string {
	selectors := o.atLeastOne("a label selector")
	for _, text := range selectors {
		if err := watch.CheckSelector(text); err != nil {
			o.fail("%q is no label selector: %v", text, err)
		}
	}
	return strings.Join(selectors, "\n")
}

// shareGateways has the source of a kubernetes that reads the same API server keep what a k8s_gateway needs, so that
// there is one watch. Each k8s_gateway has its own names; the second one of an API server has a source of its own.
func shareGateways(blocks []*blockReader) {
	at := func(o *watch.Options) watch.Options {
		return watch.Options{Manifests: o.Manifests, Kubeconfig: o.Kubeconfig, Context: o.Context, Endpoint: o.Endpoint}
	}
	taken := map[watch.Options]watch.Hosts{}
	for _, b := range blocks {
		for i := range b.Gateways {
			g := &b.Gateways[i].Objects
			if first, ok := taken[at(g)]; ok && first != g.Hosts {
				continue
			}
			var shared *watch.Options
			for _, other := range blocks {
				for j := range other.Sources {
					o := &other.Sources[j].Objects
					plain := *o
					plain.Hosts = watch.Hosts{}
					if at(o) == at(g) && o.Namespaces == "" && o.NamespaceLabels == "" && o.Labels == "" &&
						(shared == nil || plain == *shared) {
						shared = &plain
						o.Hosts = g.Hosts
					}
				}
			}
			if shared != nil {
				shared.Hosts = g.Hosts
				taken[at(g)], *g = g.Hosts, *shared
			}
		}
	}
}

func usesGateway(b *Block) bool { return len(b.Steps.Gateways) > 0 }

func summarizeGateways(b *Block, s *summary) {
	for i := range b.Steps.Gateways {
		g, o := &b.Steps.Gateways[i], &b.Gateways[i].Objects
		l := s.step("k8s_gateway %s from %s", names(slices.Clone(g.Zones)), origin(*o))
		l.add(true, "%s", o.Hosts.Resources)
		l.add(o.Hosts.IngressClasses != "", "Ingresses of %s", o.Hosts.IngressClasses)
		l.add(o.Hosts.GatewayClasses != "", "Gateways of %s", o.Hosts.GatewayClasses)
		selectors := strings.ReplaceAll(o.Hosts.ServiceSelectors, "\n", " or ")
		l.add(selectors != "", "services with %s", selectors)
		l.add(true, "ttl %s", seconds(g.TTL))
		l.add(true, "name server %s", g.Apex)
		l.add(o.Hosts.Secondary != "", "and %s", o.Hosts.Secondary)
		l.passes(g.Fallthrough)
	}
}
