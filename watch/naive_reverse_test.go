package watch

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// Here the naive index looks at addresses. Those of a clusterset have no names: PTR records point into the cluster
// zone.

// reverse looks up the owner of PTR records: Spec 2.3.3 and 2.4.3. A cluster IP wins over endpoints. What is above an
// owner exists.
func (n *naive) reverse(name string) found {
	addr, ok := forward(name)
	switch {
	case !ok && !above(name):
		return found{}
	case !n.servicesRead():
		return found{waits: true}
	case !ok:
		return found{exists: slices.ContainsFunc(n.pointers(), func(owner string) bool {
			return strings.HasSuffix(owner, "."+name)
		})}
	}
	var cluster, hosts []string
	for _, s := range n.named() {
		if slices.Contains(clusterAddrs(s), addr) {
			cluster = append(cluster, n.fqdn(s))
		}
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		for _, e := range n.ends(s) {
			if target := e.host + "." + n.fqdn(s); e.addr == addr && !slices.Contains(hosts, target) {
				hosts = append(hosts, target)
			}
		}
	}
	if len(cluster) > 0 {
		return found{exists: true, ptr: cluster}
	}
	return found{exists: len(hosts) > 0, ptr: hosts}
}

// pointers are the owners of PTR records.
func (n *naive) pointers() (owners []string) {
	for _, s := range n.named() {
		addrs := clusterAddrs(s)
		if s.Spec.Type != corev1.ServiceTypeExternalName {
			for _, e := range n.ends(s) {
				addrs = append(addrs, e.addr)
			}
		}
		for _, addr := range addrs {
			owners = append(owners, reverseOf(addr))
		}
	}
	return owners
}

// above reports whether name is one that reverse names can be below: with labels 0 before it, it is one.
func above(name string) bool {
	for _, missing := range []int{7, 35} {
		if missing -= strings.Count(name, ".") + 1; missing < 1 {
			continue
		}
		if _, ok := forward(strings.Repeat("0.", missing) + name); ok {
			return true
		}
	}
	return false
}

// forward is the address of a reverse name. One that is whole has its 4 or 32 labels in the one form that
// dns.ReverseAddr writes.
func forward(name string) (netip.Addr, bool) {
	labels := strings.Split(name, ".")
	var text string
	switch len(labels) {
	case 7:
		slices.Reverse(labels[:4])
		text = strings.Join(labels[:4], ".")
	case 35:
		slices.Reverse(labels[:32])
		for i := range 8 {
			text += ":" + strings.Join(labels[4*i:4*i+4], "")
		}
		text = text[1:]
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, false
	}
	back, err := dns.ReverseAddr(addr.String())
	return addr, err == nil && back == name
}
