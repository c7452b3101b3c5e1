package manifests

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/clusterdns/clusterdns/watch/object"
)

// mirrorName is in the label of slices that the mirroring controller wrote.
const mirrorName = "endpointslicemirroring-controller.k8s.io"

// leaderElection is the annotation of Endpoints that are a lock, and lead nowhere.
const leaderElection = "control-plane.alpha.kubernetes.io/leader"

// mirrorEndpoints makes slices of the Endpoints that somebody wrote for a service without a selector. Endpoints of one
// with a selector are the controller's, and its slices have the same addresses.
func (c *controlPlane) mirrorEndpoints() {
	custom := map[object.Key]bool{}
	for _, o := range c.services {
		custom[object.KeyOf(o)] = len(o.Spec.Selector) == 0
	}
	for _, o := range c.endpoints {
		_, lock := o.Annotations[leaderElection]
		if !custom[object.KeyOf(o)] || o.Labels[discoveryv1.LabelSkipMirror] == "true" || lock {
			continue
		}
		for _, made := range c.mirror(o) {
			made.Labels[discoveryv1.LabelManagedBy] = mirrorName
			c.addSlice(made)
		}
	}
}

// target is an address as Endpoints tell them apart.
type target struct{ ip, uid string }

// mirror is Endpoints as slices: one for each set of ports and family. Addresses of one text are one, with what is said
// of it first; it is ready for a port when it is nowhere written as not ready for it.
func (c *controlPlane) mirror(o *corev1.Endpoints) (made []*discoveryv1.EndpointSlice) {
	first := map[target]*corev1.EndpointAddress{}
	ready := map[corev1.EndpointPort]map[target]bool{}
	var ports []corev1.EndpointPort
	add := func(p corev1.EndpointPort, list []corev1.EndpointAddress, isReady bool) {
		if ready[p] == nil {
			ready[p] = map[target]bool{}
			ports = append(ports, p)
		}
		for i := range list {
			t := target{ip: list[i].IP}
			if r := list[i].TargetRef; r != nil {
				t.uid = string(r.UID)
			}
			if first[t] == nil {
				first[t] = &list[i]
			}
			before, seen := ready[p][t]
			ready[p][t] = isReady && (before || !seen)
		}
	}
	for i := range o.Subsets {
		s := &o.Subsets[i]
		of := slices.Clone(s.Ports)
		if len(of) == 0 {
			of = []corev1.EndpointPort{{Port: -1}} // addresses without ports
		}
		for _, p := range of {
			p.Protocol = withDefault(p.Protocol)
			add(p, s.Addresses, true)
			add(p, s.NotReadyAddresses, false)
		}
	}
	for n, group := range grouped(ports, ready) {
		made = append(made, c.mirrorGroup(o, n, group, ready[group[0]], first)...)
	}
	return made
}

// grouped puts the ports together that have the same addresses in the same state.
func grouped(ports []corev1.EndpointPort, ready map[corev1.EndpointPort]map[target]bool) (groups [][]corev1.EndpointPort) {
	at := map[string]int{}
	for _, p := range ports {
		key := fmt.Sprint(ready[p]) // the keys of a map are printed in order
		n, seen := at[key]
		switch {
		case !seen:
			at[key] = len(groups)
			groups = append(groups, []corev1.EndpointPort{p})
		case p.Port > 0 && groups[n][0].Port > 0:
			groups[n] = append(groups[n], p)
		case p.Port > 0:
			groups[n] = []corev1.EndpointPort{p} // of the addresses without ports there is one with
		}
	}
	return groups
}

// mirrorGroup makes the slices of one group of ports: of the ready addresses first, in the order of their texts, as
// many as the controller takes.
func (c *controlPlane) mirrorGroup(
	o *corev1.Endpoints,
	n int,
	group []corev1.EndpointPort,
	ready map[target]bool,
	first map[target]*corev1.EndpointAddress,
) (made []*discoveryv1.EndpointSlice) {
	targets := make([]target, 0, len(ready))
	for t := range ready {
		targets = append(targets, t)
	}
	slices.SortFunc(targets, func(a, b target) int {
		if ready[a] != ready[b] {
			return cmp.Compare(fmt.Sprint(ready[b]), fmt.Sprint(ready[a])) // "true" before "false"
		}
		return cmp.Or(strings.Compare(a.ip, b.ip), strings.Compare(a.uid, b.uid))
	})
	if dropped := len(targets) - maxSubsetAddresses; dropped > 0 {
		targets = targets[:maxSubsetAddresses]
		c.report(c.source[o].fault("subsets", fmt.Sprintf("%s: %d addresses of one set of ports have no names: %d are mirrored",
			title("Endpoints", object.KeyOf(o)), dropped, maxSubsetAddresses)))
	}
	var ports []discoveryv1.EndpointPort
	for _, p := range group {
		if p.Port > 0 {
			ports = append(ports, discoveryv1.EndpointPort{Name: &p.Name, Protocol: &p.Protocol, Port: &p.Port})
		}
	}
	if why := validateSlicePorts(ports); len(why) > 0 {
		c.report(c.source[o].fault("subsets.ports", fmt.Sprintf("%s: no EndpointSlice can have its ports, so that it has no names: %v",
			title("Endpoints", object.KeyOf(o)), why[0])))
		return nil
	}
	for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		s := newSlice(o, family, ports, "mirror", strconv.Itoa(n))
		for _, t := range targets {
			if familyOf(t.ip) == family {
				s.Endpoints = append(s.Endpoints, mirrored(first[t], ready[t]))
			}
		}
		if len(s.Endpoints) > 0 {
			made = append(made, s)
		}
	}
	return made
}

func mirrored(a *corev1.EndpointAddress, ready bool) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{
		Addresses:  []string{a.IP},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef:  a.TargetRef,
	}
	if a.Hostname != "" {
		e.Hostname = &a.Hostname
	}
	return e
}

func familyOf(text string) discoveryv1.AddressType {
	if addr, ok := object.ParseAddr(text); ok && addr.Is6() {
		return discoveryv1.AddressTypeIPv6
	}
	return discoveryv1.AddressTypeIPv4
}
