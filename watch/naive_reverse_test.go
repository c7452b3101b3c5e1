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

// reverse looks up the owner of PTR records: Spec 2.3.3 and 2.4.3. A cluster IP wins over endpoints.
func (n *naive) reverse(name string) found {
	addr, ok := forward(name)
	switch {
	case !ok:
		return found{}
	case !n.servicesRead():
		return found{waits: true}
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
