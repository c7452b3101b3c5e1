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

// gatewayResources are what a name may come from, and whether it is read.
var gatewayResources = map[string]bool{
	"Ingress": true, "Service": true, "HTTPRoute": false, "TLSRoute": false, "GRPCRoute": false,
}

// k8s_gateway [ZONES…] { resources …; ttl SECONDS; apex NAME; secondary NAME; kubeconfig FILE [CONTEXT]; … }
func (b *blockReader) gateway(a *args) {
	g := resolver.Gateway{Zones: a.zonesOr(b.zones...), TTL: defaultGatewayTTL, Apex: defaultGatewayApex}
	source := Source{At: a.at.String(), StartupTimeout: watch.StartupTimeout}
	o := &source.Objects
	secondary, classes, resources := "", []string(nil), []string{"Ingress", "Service"}
	a.options(options{
		"resources":      func(o *args) { resources = gatewayNames(o) },
		"ttl":            func(o *args) { g.TTL = o.seconds(0, 3600) },
		"apex":           func(o *args) { g.Apex = strings.TrimSuffix(o.word("a name below the zone"), ".") },
		"secondary":      func(o *args) { secondary = strings.TrimSuffix(o.word("a name below the zone"), ".") },
		"kubeconfig":     func(a *args) { kubeconfig(a, o) },
		"manifests":      func(a *args) { o.Manifests = inFolder(b.folder, a.word("a folder")); a.checkFolder(o.Manifests) },
		"fallthrough":    func(o *args) { g.Fallthrough.Zones = o.zonesOr(".") },
		"ingressClasses": func(o *args) { classes = o.atLeastOne("a class of Ingresses") },
		"gatewayClasses": func(o *args) {
			o.atLeastOne("a class of Gateways")
			o.warnf("has no effect: Gateways are not read yet")
		},
		"serviceLabelSelectors": nil,
		"configFile":            nil,
	})
	for _, z := range g.Zones {
		if err := resolver.CheckExternal(z, g.Apex); err != nil {
			a.fail("%v", err)
		}
	}
	o.Selection.Hosts, o.NoEndpoints = true, true
	o.Hosts = watch.Hosts{Zones: strings.Join(g.Zones, " "), Resources: strings.Join(resources, " "),
		Classes: strings.Join(classes, " "), TTL: uint32(g.TTL.Seconds()), NameServer: g.Apex, Secondary: secondary}
	b.Steps.Gateways, b.Gateways = append(b.Steps.Gateways, g), append(b.Gateways, source)
}

// gatewayNames reads resources.
func gatewayNames(o *args) (names []string) {
	for _, name := range o.atLeastOne("Ingress, Service or another resource") {
		served, known := gatewayResources[name]
		switch {
		case name == "DNSEndpoint":
			o.fail("DNSEndpoint belongs to external-dns, and no name is made of it: write its records with the directive file, " +
				"or let external-dns write them into etcd")
		case !known:
			o.fail("got %q, wants Ingress, Service, HTTPRoute, TLSRoute or GRPCRoute", name)
		case !served:
			o.warnf("%s has no effect: routes of the Gateway API are not read yet, and their hosts have no names", name)
		default:
			names = append(names, name)
		}
	}
	return names
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
					plain.Selection.Hosts, plain.Hosts = false, watch.Hosts{}
					if at(o) == at(g) && o.Namespaces == "" && o.NamespaceLabels == "" && o.Labels == "" &&
						(shared == nil || plain == *shared) {
						shared = &plain
						o.Selection.Hosts, o.Hosts = true, g.Hosts
					}
				}
			}
			if shared != nil {
				shared.Selection.Hosts, shared.Hosts = true, g.Hosts
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
		l.add(o.Hosts.Classes != "", "classes %s", o.Hosts.Classes)
		l.add(true, "ttl %s", seconds(g.TTL))
		l.add(true, "name server %s", g.Apex)
		l.add(o.Hosts.Secondary != "", "and %s", o.Hosts.Secondary)
		l.passes(g.Fallthrough)
	}
}
