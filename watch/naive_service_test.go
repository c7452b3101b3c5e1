package watch

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/clusterdns/clusterdns/watch/object"
)

// Here the naive index looks at services and their endpoints.

// end is one address of a ready endpoint.
type end struct {
	addr  netip.Addr
	host  string
	from  string // the cluster that exports it, behind a dot
	zone  string
	pod   string // with both addresses, where it is known
	ports []discoveryv1.EndpointPort

	cluster bool // it is a cluster IP
}

// ends are the ready endpoints of a service, from all slices that name it.
func (n *naive) ends(s *corev1.Service) (list []end) {
	ready, _ := n.split(s)
	return ready
}

func (n *naive) split(s *corev1.Service) (ready []end, unready int) {
	if n.options.NoEndpoints {
		return nil, 0
	}
	for k, o := range n.world[slicesOf] {
		slice := o.(*discoveryv1.EndpointSlice)
		if k.Namespace != s.Namespace {
			continue
		}
		member, ok := n.member(slice, s.Name)
		if !ok {
			continue
		}
		for _, e := range slice.Endpoints {
			for _, text := range e.Addresses {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready {
					unready++
					continue
				}
				addr := address(text)
				one := end{addr: addr, host: n.host(&e, addr) + member, from: member, ports: slice.Ports}
				if nameless(member) {
					one.host = ""
				}
				if _, ok := slice.Labels[corev1.IsHeadlessService]; ok {
					one.pod = podOf(&e)
				}
				if e.Zone != nil {
					one.zone = strings.ToLower(*e.Zone)
				}
				ready = append(ready, one)
			}
		}
	}
	return ready, unready
}

// host is the endpoint's hostname, else with endpoint_pod_names its pod's name, else its address with dashes.
func (n *naive) host(e *discoveryv1.Endpoint, addr netip.Addr) string {
	if e.Hostname != nil && *e.Hostname != "" {
		return *e.Hostname
	}
	if r := e.TargetRef; n.options.PodNames && r != nil && len(r.Name) < 64 && !strings.Contains(r.Name, ".") {
		return r.Name
	}
	return dashes(addr)
}

var dash = strings.NewReplacer(".", "-", ":", "-")

func dashes(addr netip.Addr) string {
	text := dash.Replace(addr.String())
	if strings.HasSuffix(text, "-") {
		text += "0"
	}
	return text
}

// has reports whether a service has names, and why not.
func (n *naive) has(s *corev1.Service) (bool, string) {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		_, err := netip.ParseAddr(s.Spec.ExternalName)
		return err != nil, ""
	}
	if len(s.Spec.ClusterIPs) == 0 && !n.options.ServiceImports {
		return false, ""
	}
	if !isHeadless(s) && !n.options.IgnoreEmpty {
		return true, ""
	}
	ready, unready := n.split(s)
	words := fmt.Sprint("service ", s.Namespace, "/", s.Name, ": 0 of ", unready, " endpoints ready")
	switch {
	case len(ready) > 0:
		return true, ""
	case isHeadless(s) && n.options.NoEndpoints:
		return false, ""
	case isHeadless(s):
		return false, words
	}
	return false, words + " (kubernetes option ignore empty_service)"
}

// named are the services that have names: none while something that may hide one has not been read.
func (n *naive) named() (list []*corev1.Service) {
	if !n.servicesRead() {
		return nil
	}
	for k, o := range n.world[servicesOf] {
		s := o.(*corev1.Service)
		if has, _ := n.has(s); has && n.shown(k.Namespace) {
			list = append(list, s)
		}
	}
	return list
}

func (n *naive) servicesRead() bool {
	return n.read[n.owners()] && n.read[namespacesOf] && (n.read[slicesOf] || n.options.NoEndpoints)
}

// svc looks up labels, the last first, below svc.<zone>.
func (n *naive) svc(labels []string) found {
	switch {
	case len(labels) == 0:
		return found{exists: true}
	case !n.servicesRead():
		return found{waits: true}
	case len(labels) == 1:
		return found{exists: n.space(labels[0])}
	}
	s := n.service(object.Key{Namespace: labels[0], Name: labels[1]})
	if s == nil || !n.shown(labels[0]) {
		return found{}
	}
	has, why := n.has(s)
	if !has {
		return found{why: why}
	}
	below := slices.Clone(labels[2:])
	slices.Reverse(below) // as the name reads
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		if len(below) > 0 {
			return found{}
		}
		return found{exists: true, alias: strings.TrimSuffix(s.Spec.ExternalName, ".") + "."} // Spec 2.5
	}
	exists, pairs := n.pairs(s, below)
	return n.answer(s, exists, pairs)
}

// pair is one address with one port: what an SRV record is made of. Without a port it counts only.
type pair struct {
	addr netip.Addr
	port int32  // 0 for none
	host string // "" for the service itself
}

// answer makes the records of pairs.
func (n *naive) answer(s *corev1.Service, exists bool, pairs []pair) found {
	f := found{exists: exists, affine: n.affine(s)}
	priority := n.priorities(s, pairs)
	var addrs []netip.Addr
	weight := 1
	if len(pairs) > 0 {
		weight = max(1, 100/len(pairs))
	}
	for _, p := range pairs {
		addrs = append(addrs, p.addr)
		if p.port == 0 {
			continue
		}
		target := n.fqdn(s)
		if p.host != "" {
			target = p.host + "." + target
		}
		record := strconv.Itoa(priority(p.host)) + " " + strconv.Itoa(weight) + " " + strconv.Itoa(int(p.port)) + " " + target
		if slices.Contains(f.srv, record) {
			continue
		}
		f.srv = append(f.srv, record)
		for _, r := range records(target, n.addrs(s, p.host)) {
			if !slices.Contains(f.extra, r) {
				f.extra = append(f.extra, r)
			}
		}
	}
	if f.affine {
		addrs = n.inOrder(s, addrs)
	}
	f.add(addrs)
	return f
}

// addrs are the addresses of a service, or of a host of it.
func (n *naive) addrs(s *corev1.Service, host string) (list []netip.Addr) {
	if host == "" {
		return clusterAddrs(s)
	}
	for _, e := range n.ends(s) {
		if e.host == host {
			list = append(list, e.addr)
		}
	}
	return list
}

// pairs is what a name below a service stands for, and whether it exists.
func (n *naive) pairs(s *corev1.Service, below []string) (bool, []pair) {
	ends := n.ends(s)
	any := func(discoveryv1.EndpointPort) bool { return true }
	switch {
	case len(below) == 0: // Spec 2.3.1, 2.4.1; SRV of all ports
		return true, n.all(s, ends, any)
	case len(below) <= 2: // Spec 2.4.1: an endpoint's host, in a clusterset below the id of its cluster
		name := strings.Join(below, ".")
		if hosts := those(ends, func(e end) bool { return e.host == name }); len(hosts) > 0 {
			return true, pairsOf(hosts, any)
		}
		if slices.ContainsFunc(ends, func(e end) bool { return strings.HasSuffix(e.host, "."+name) }) {
			return true, nil // the id
		}
	}
	if ok, list := n.zonal(s, ends, below); ok {
		return true, list
	}
	proto := strings.TrimPrefix(below[len(below)-1], "_")
	switch len(below) {
	case 1: // an empty non-terminal where a port of that protocol has a name
		wanted := func(p discoveryv1.EndpointPort) bool {
			return *p.Name != "" && strings.ToLower(string(*p.Protocol)) == proto
		}
		return len(n.all(s, ends, wanted)) > 0 || hasPort(s, wanted), nil
	case 2: // Spec 2.3.2, 2.4.2: _port._proto
		name := strings.TrimPrefix(below[0], "_")
		wanted := func(p discoveryv1.EndpointPort) bool {
			return *p.Name != "" && *p.Name == name && strings.ToLower(string(*p.Protocol)) == proto
		}
		list := n.all(s, ends, wanted)
		return len(list) > 0 || hasPort(s, wanted), list
	}
	return false, nil
}

// all are the pairs of a service: of its endpoints when it is headless, else of its cluster IPs. With a port that is
// asked for by name, addresses without it do not count.
func (n *naive) all(s *corev1.Service, ends []end, wanted func(discoveryv1.EndpointPort) bool) (list []pair) {
	if isHeadless(s) {
		return pairsOf(n.nearestCluster(s, ends, wanted), wanted)
	}
	for _, addr := range clusterAddrs(s) {
		list = append(list, pairsOf([]end{{addr: addr, ports: portsOf(s), cluster: true}}, wanted)...)
	}
	return list
}

// hasPort reports whether a service that is not headless has a port, though perhaps no address.
func hasPort(s *corev1.Service, wanted func(discoveryv1.EndpointPort) bool) bool {
	return !isHeadless(s) && slices.ContainsFunc(portsOf(s), wanted)
}

func portsOf(s *corev1.Service) (ports []discoveryv1.EndpointPort) {
	for _, p := range s.Spec.Ports {
		ports = append(ports, discoveryv1.EndpointPort{Name: &p.Name, Protocol: &p.Protocol, Port: &p.Port})
	}
	return ports
}

// pairsOf are the pairs of endpoints with the ports that are wanted. An endpoint without any port counts once.
func pairsOf(ends []end, wanted func(discoveryv1.EndpointPort) bool) (list []pair) {
	all := wanted(discoveryv1.EndpointPort{Name: new(string), Protocol: new(corev1.Protocol)})
	for _, e := range ends {
		for _, p := range e.ports {
			if !wanted(p) {
				continue
			}
			one := pair{addr: e.addr, host: e.host}
			if p.Port != nil && (e.cluster || e.host != "") { // else there is nothing to point at
				one.port = *p.Port
			}
			list = append(list, one)
		}
		if len(e.ports) == 0 && all {
			list = append(list, pair{addr: e.addr, host: e.host})
		}
	}
	return list
}

func those(ends []end, keep func(end) bool) (list []end) {
	for _, e := range ends {
		if keep(e) {
			list = append(list, e)
		}
	}
	return list
}

// zonal: <zone>.pin._zone and <zone>.prefer._zone below a headless service.
func (n *naive) zonal(s *corev1.Service, ends []end, below []string) (bool, []pair) {
	last := len(below) - 1
	if !n.options.Zonal || !isHeadless(s) || below[last] != "_zone" {
		return false, nil
	}
	if last == 0 {
		return true, nil
	}
	directive := below[last-1]
	if directive != "pin" && directive != "prefer" {
		return false, nil
	}
	if last == 1 {
		return true, nil
	}
	zone := strings.Join(below[:last-1], ".")
	near := those(ends, func(e end) bool { return e.zone == zone })
	if len(near) == 0 && directive == "prefer" {
		near = ends
	}
	return true, pairsOf(near, func(discoveryv1.EndpointPort) bool { return true })
}
