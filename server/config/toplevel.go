package config

import (
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/watch"
)

// toplevel [count]
// toplevel refuse [LABEL…]
func (c *kubernetesOptions) toplevel(a *args) {
	c.counted = true
	if !a.more() {
		return
	}
	if !choose(a, map[string]bool{"count": false, "refuse": true}) {
		return
	}
	if !a.more() {
		c.refused = append(c.refused, watch.AllToplevel)
		return
	}
	for _, label := range namespaces(a) {
		if label == "default" || strings.HasPrefix(label, "kube-") {
			a.fail("%q is a namespace of Kubernetes itself", label)
		}
		c.refused = append(c.refused, label)
	}
}

// deriveToplevel fills the option from what is refused and from the zones that are in search lists.
func (c *kubernetesOptions) deriveToplevel() {
	if !c.counted {
		return
	}
	o := &c.Objects.Toplevel
	o.Refused = commas(c.refused)
	labels := []string{"svc", "pod"}
	if slices.Contains(c.refused, watch.AllToplevel) {
		o.Refused = watch.AllToplevel
	} else {
		labels = append(labels, c.refused...)
	}
	for _, zone := range c.Zones {
		if zone = strings.TrimSuffix(zone, "."); zone != "" && !resolver.IsReverse(zone+".") && !slices.Contains(c.MultiCluster, zone+".") {
			labels = append(labels, strings.Split(zone, ".")...)
		}
	}
	o.Labels = commas(labels)
}

// commas is a set of words.
func commas(words []string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ",")
}

// guarded is what the option does, in words.
func guarded(o watch.Toplevel) string {
	switch o.Refused {
	case "":
		return "counts names like top-level domains"
	case watch.AllToplevel:
		return "refuses names like top-level domains"
	}
	return "refuses namespaces and services called " + o.Refused
}
