package differ

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
)

// addSlices adds the slices of a service: none, several, of both families,
// large ones.
func (w *world) addSlices(s *corev1.Service) {
	large := w.chance(6)
	for range w.IntN(4) {
		slice := w.newSlice(s, pick(w, []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}))
		slice.Ports = w.slicePorts(s)
		n := w.IntN(5)
		if large {
			n = 10 + w.IntN(90)
		}
		for range n {
			slice.Endpoints = append(slice.Endpoints, w.endpoint(s, slice.AddressType))
		}
		w.slices = append(w.slices, slice)
	}
}

func (w *world) newSlice(s *corev1.Service, family discoveryv1.AddressType) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  w.meta(s.Namespace, fmt.Sprintf("slice-%d", len(w.slices))),
		AddressType: family,
	}
	slice.Labels[discoveryv1.LabelServiceName] = s.Name
	return slice
}

// slicePorts are the ports of a slice of a service, as they are or as somebody
// may write them.
func (w *world) slicePorts(s *corev1.Service) []discoveryv1.EndpointPort {
	ports := slicePorts(s.Spec.Ports)
	switch n := w.IntN(20); {
	case n < 12:
	case n == 12:
		ports = nil
	case n == 13:
		ports = []discoveryv1.EndpointPort{}
	case n == 14:
		ports = []discoveryv1.EndpointPort{{}}
	case n == 15:
		number := int32(8080)
		ports = []discoveryv1.EndpointPort{{Port: &number}}
	case n == 16 && len(ports) > 0:
		ports[0].Port = nil
	case n == 17 && len(ports) > 1:
		ports = ports[1:]
	default:
		for i := range ports {
			number := 8000 + w.Int32N(3)
			ports[i].Port = &number
		}
	}
	return ports
}

func slicePorts(from []corev1.ServicePort) (ports []discoveryv1.EndpointPort) {
	for _, p := range from {
		port := discoveryv1.EndpointPort{Name: &p.Name, Port: &p.Port}
		if p.Protocol != "" {
			port.Protocol = &p.Protocol
		}
		ports = append(ports, port)
	}
	return ports
}

// topologyZones are those of nodes, one of them with dots.
var topologyZones = []string{"zone-a", "zone-b", "rack.zone-c"}

func (w *world) endpoint(s *corev1.Service, family discoveryv1.AddressType) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{w.podIP(family)}}
	if w.chance(8) {
		if second := w.podIP(family); second != e.Addresses[0] {
			e.Addresses = append(e.Addresses, second)
		}
	}
	yes, no := true, false
	switch n := w.IntN(10); {
	case n < 5:
		e.Conditions.Ready = &yes
	case n < 6: // nobody says: ready
	case n < 8:
		e.Conditions.Ready = &no
		e.Conditions.Serving = pick(w, []*bool{&yes, &no, nil})
	case n < 9:
		e.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
	default: // terminating, and published although not ready
		e.Conditions = discoveryv1.EndpointConditions{Ready: &yes, Serving: &no, Terminating: &yes}
	}
	if w.chance(35) {
		host := pick(w, hostWords)
		e.Hostname = &host
	}
	if w.chance(40) {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: s.Namespace, Name: w.podName()}
	}
	if w.chance(20) {
		node := "node"
		e.NodeName = &node
	}
	if n := int(netip.MustParseAddr(e.Addresses[0]).As16()[15]) % 12; n < len(topologyZones) {
		e.Zone = &topologyZones[n] // an address is in one zone, or in none
	}
	return e
}

// podName is a name that a pod may have: with dots, or longer than a label
// can be, now and then.
func (w *world) podName() string {
	switch w.IntN(12) {
	case 0:
		return "a.dotted.name"
	case 1:
		return "long-" + string(slices.Repeat([]byte("x"), 58+w.IntN(3)))
	}
	return fmt.Sprintf("%s-%d", pick(w, []string{"web", "db", "api"}), w.IntN(8))
}

// oddAddresses are those whose dashed names are not what one expects.
var oddAddresses = map[discoveryv1.AddressType][]string{
	discoveryv1.AddressTypeIPv4: {"10.244.0.1", "10.244.0.255", "255.255.255.254", "192.168.0.0"},
	discoveryv1.AddressTypeIPv6: {"fd00:244::", "2001:db8::", "fd00:10:244::1", "1::2", "2001:db8:0:1:1:1:1:1", "2001:db8::1:0:0:1", "1:2:3:4:5:6:7:8"},
}

// podIP is an address out of few, so that services share them.
func (w *world) podIP(family discoveryv1.AddressType) string {
	var text string
	switch n := w.IntN(40); {
	case n == 0 && len(w.services) > 0:
		// The cluster IP of a service: an endpoint as well.
		for _, other := range pick(w, w.services).Spec.ClusterIPs {
			if addr, err := netip.ParseAddr(other); err == nil && familyOf(addr) == family {
				text = other
			}
		}
	case n < 5:
		text = pick(w, oddAddresses[family])
	}
	if text == "" && family == discoveryv1.AddressTypeIPv4 {
		text = fmt.Sprintf("10.244.%d.%d", w.IntN(3), w.IntN(120))
	} else if text == "" {
		text = fmt.Sprintf("fd00:10:244::%x", w.IntN(160))
	}
	addr := netip.MustParseAddr(text)
	w.hosts[addr] = true
	return addr.String() // the API server takes no other form
}

// addPods adds pods of all phases.
func (w *world) addPods(namespace string) {
	for i := range w.IntN(5) {
		p := &corev1.Pod{
			ObjectMeta: w.meta(namespace, fmt.Sprintf("pod-%d", i)),
			Spec: corev1.PodSpec{
				NodeName:                      "node",
				TerminationGracePeriodSeconds: new(int64(3600)),
				Containers:                    []corev1.Container{{Name: "main", Image: "none"}},
			},
		}
		p.Status.Phase = pick(w, []corev1.PodPhase{corev1.PodRunning, corev1.PodRunning, corev1.PodRunning, corev1.PodPending, corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown})
		families := []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}[:1+w.IntN(2)]
		if w.chance(30) {
			slices.Reverse(families)
		}
		for _, family := range families {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: w.podIP(family)})
		}
		if w.chance(10) {
			p.Status.PodIPs = nil
		}
		if len(p.Status.PodIPs) > 0 {
			p.Status.PodIP = p.Status.PodIPs[0].IP
		}
		if w.chance(15) {
			p.DeletionTimestamp = &metav1.Time{} // load deletes it, and it lingers
		}
		w.pods = append(w.pods, p)
	}
}

// slicesOf are the slices of a service, or of an import.
func (w *world) slicesOf(s *corev1.Service) (list []*discoveryv1.EndpointSlice) {
	name := discoveryv1.LabelServiceName
	if slices.Contains(w.imports, s) {
		name = mcsv1alpha1.LabelServiceName
	}
	for _, slice := range w.slices {
		if slice.Namespace == s.Namespace && slice.Labels[name] == s.Name {
			list = append(list, slice)
		}
	}
	return list
}

// readyEndpoints is how many endpoints of a service are ready.
func (w *world) readyEndpoints(s *corev1.Service) (n int) {
	for _, slice := range w.slicesOf(s) {
		for _, e := range slice.Endpoints {
			if isReady(e) {
				n++
			}
		}
	}
	return n
}
