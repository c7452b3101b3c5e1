package watch

import (
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/watch/object"
)

// What objects are made of. The pools are small, so that objects meet: hostnames that are another endpoint's address or
// a protocol, cluster IPs that are endpoints, namespaces and services called like parts of names.
var (
	poolSpaces    = []string{"prod", "svc", "kube-system"}
	poolServices  = []string{"web", "db", "pod", "a"}
	poolHosts     = []string{"", "", "", "web-0", "web-1", "tcp", "http", "10-244-0-1"}
	poolPods      = []string{"", "web-0", "p1", "dotted.pod"}
	poolZones     = []string{"", "a", "b", "EU.west"}
	poolV4        = []string{"10.244.0.1", "10.244.0.2", "10.244.0.3", "10.96.0.1", "10.244.0.4", "010.244.0.2", "::ffff:10.244.0.3"}
	poolV6        = []string{"fd00::1", "fd00:0:0:1::", "fd00::a:b"}
	poolCluster4  = []string{"10.96.0.1", "10.96.0.2", "10.244.0.2", "10.096.0.1"}
	poolCluster6  = []string{"fd01::1", "fd00::1", "::ffff:10.96.0.2"}
	poolPorts     = []string{"http", "dns", ""}
	poolProtocols = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	poolNumbers   = []int32{80, 53, 8080}
	poolPhases    = []corev1.PodPhase{
		corev1.PodRunning,
		corev1.PodRunning,
		corev1.PodPending,
		corev1.PodFailed,
		corev1.PodSucceeded,
		corev1.PodUnknown,
	}
	poolTargets = []string{"web.prod.svc.cluster.local", "db.default.svc.cluster.local.", "a.svc.svc.cluster.local",
		"web-0.db.prod.svc.cluster.local", "web.prod.svc.clusterset.local", "www.example.com", "10.0.0.9"}
	poolConditions = []discoveryv1.EndpointConditions{
		{}, // which is ready
		{Ready: to(true), Serving: to(true), Terminating: to(false)},
		{Ready: to(true), Serving: to(false), Terminating: to(true)}, // as publishNotReadyAddresses has it
		{Ready: to(false), Serving: to(false), Terminating: to(false)},
		{Ready: to(false), Serving: to(true), Terminating: to(true)},
	}
)

// pick draws one of a pool.
func pick[T any](t *rapid.T, pool []T, label string) T {
	return pool[rapid.IntRange(0, len(pool)-1).Draw(t, label)]
}

// some draws some of a pool, each at most once.
func some[T any](t *rapid.T, pool []T, label string) (list []T) {
	bits := rapid.IntRange(0, 1<<len(pool)-1).Draw(t, label)
	for i, v := range pool {
		if bits&(1<<i) != 0 {
			list = append(list, v)
		}
	}
	return list
}

// anyOf draws the key of an object that exists; ok is false when there is none.
func (m *machine) anyOf(t *rapid.T, kind int) (k object.Key, ok bool) {
	var keys []object.Key
	for k := range m.truth[kind] {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return k, false
	}
	slices.SortFunc(
		keys,
		func(a, b object.Key) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) },
	)
	return pick(t, keys, "object"), true
}

// drawService makes or changes a service.
func (m *machine) drawService(t *rapid.T) event {
	s := &corev1.Service{}
	s.Namespace, s.Name = pick(t, poolSpaces, "namespace"), pick(t, poolServices, "name")
	switch rapid.IntRange(0, 8).Draw(t, "type") {
	case 0, 1, 2:
		s.Spec.ClusterIPs = []string{corev1.ClusterIPNone}
	case 3, 4:
		s.Spec.ClusterIPs = []string{pick(t, poolCluster4, "cluster IP")}
	case 5:
		s.Spec.ClusterIPs = []string{pick(t, poolCluster4, "cluster IP"), pick(t, poolCluster6, "second cluster IP")}
		s.Spec.Type = corev1.ServiceTypeLoadBalancer
	case 6:
		s.Spec.ClusterIPs = []string{pick(t, poolCluster6, "cluster IP")}
		s.Spec.Type = corev1.ServiceTypeNodePort
	case 7:
		s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, pick(t, poolTargets, "target")
	case 8: // no cluster IP yet
	}
	if len(s.Spec.ClusterIPs) > 0 {
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	}
	if rapid.Bool().Draw(t, "sessionAffinity") {
		s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	}
	s.Spec.PublishNotReadyAddresses = rapid.IntRange(0, 3).Draw(t, "publishNotReadyAddresses") == 3
	for i, name := range some(t, poolPorts, "ports") {
		s.Spec.Ports = append(
			s.Spec.Ports,
			corev1.ServicePort{Name: name, Protocol: pick(t, poolProtocols, "protocol"), Port: poolNumbers[i]},
		)
	}
	return m.put(servicesOf, s)
}

// drawSlice makes a slice, or puts another in its place.
func (m *machine) drawSlice(t *rapid.T) event {
	s := &discoveryv1.EndpointSlice{}
	s.Namespace = pick(t, poolSpaces, "namespace")
	s.Name = "slice-" + strconv.Itoa(rapid.IntRange(0, 7).Draw(t, "name"))
	s.Labels = m.drawLabels(t)
	if rapid.IntRange(0, 2).Draw(t, "headless") > 0 { // as the controllers write it for headless services
		s.Labels[corev1.IsHeadlessService] = ""
	}
	s.AddressType = discoveryv1.AddressTypeIPv4
	if rapid.IntRange(0, 2).Draw(t, "family") == 0 {
		s.AddressType = discoveryv1.AddressTypeIPv6
	}
	for i, name := range some(t, poolPorts, "ports") {
		p := discoveryv1.EndpointPort{
			Name:     to(name),
			Protocol: to(pick(t, poolProtocols, "protocol")),
			Port:     to(poolNumbers[i]),
		}
		if rapid.IntRange(0, 9).Draw(t, "number") == 9 {
			p.Port = nil // all ports
		}
		s.Ports = append(s.Ports, p)
	}
	for range pick(t, []int{1, 2, 3, 4, 0}, "endpoints") {
		s.Endpoints = append(s.Endpoints, drawEndpoint(t, s.AddressType))
	}
	return m.put(slicesOf, s)
}

func drawEndpoint(t *rapid.T, family discoveryv1.AddressType) (e discoveryv1.Endpoint) {
	pool := poolV4
	if family == discoveryv1.AddressTypeIPv6 {
		pool = poolV6
	}
	e.Addresses = []string{pick(t, pool, "address")}
	if rapid.IntRange(0, 9).Draw(t, "addresses") == 9 {
		e.Addresses = append(e.Addresses, pick(t, pool, "second address"))
	}
	if host := pick(t, poolHosts, "hostname"); host != "" {
		e.Hostname = &host
	}
	if pod := pick(t, poolPods, "pod"); pod != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: pod}
	}
	if zone := pick(t, poolZones, "zone"); zone != "" {
		e.Zone = &zone
	}
	e.Conditions = pick(t, poolConditions, "conditions")
	return e
}

// editSlice makes one small change, or moves the slice to another service or import. ok is false without a slice.
func (m *machine) editSlice(t *rapid.T) (e event, ok bool) {
	k, ok := m.anyOf(t, slicesOf)
	if !ok {
		return e, false
	}
	s := m.truth[slicesOf][k].(*discoveryv1.EndpointSlice).DeepCopy()
	at := len(s.Endpoints) - 1
	switch what := rapid.IntRange(0, 11).Draw(t, "edit"); {
	case what < 3 && at < 6:
		s.Endpoints = append(s.Endpoints, drawEndpoint(t, s.AddressType))
	case what < 5:
		s.Labels = m.drawLabels(t)
	case what == 5:
		s.Labels = map[string]string{} // nobody's any more
	case what < 8 && at >= 0:
		s.Endpoints = s.Endpoints[:at]
	case what < 10 && at >= 0:
		s.Endpoints[0].Conditions.Ready = to(s.Endpoints[0].Conditions.Ready != nil && !*s.Endpoints[0].Conditions.Ready)
	case at >= 0:
		s.Endpoints[at] = drawEndpoint(t, s.AddressType)
	}
	return m.put(slicesOf, s), true
}

func (m *machine) drawNamespace(t *rapid.T) event {
	n := &corev1.Namespace{}
	n.Name = pick(t, poolSpaces, "name")
	if team := pick(t, []string{"a", "b", ""}, "team"); team != "" {
		n.Labels = map[string]string{"team": team}
	}
	return m.put(namespacesOf, n)
}

func (m *machine) drawPod(t *rapid.T) event {
	p := &corev1.Pod{}
	p.Namespace, p.Name = pick(t, poolSpaces, "namespace"), "pod-"+strconv.Itoa(rapid.IntRange(0, 3).Draw(t, "name"))
	p.Status.Phase = pick(t, poolPhases, "phase")
	for _, pool := range [][]string{poolV4, poolV6} {
		if rapid.IntRange(0, 3).Draw(t, "family") > 0 {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: pick(t, pool, "address")})
		}
	}
	if started := rapid.Int64Range(0, 3).Draw(t, "started"); started > 0 {
		p.Status.StartTime = &metav1.Time{Time: time.Unix(started, 0)}
	}
	p.Spec.HostNetwork = rapid.IntRange(0, 15).Draw(t, "host network") == 15
	if rapid.IntRange(0, 7).Draw(t, "ending") == 7 {
		p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	}
	return m.put(podsOf, p)
}

// change is one change at the API server that the server under test has not been told of.
func (m *machine) change(t *rapid.T) (event, bool) {
	kinds, most := []int{servicesOf, slicesOf, slicesOf, namespacesOf, podsOf}, 31
	if m.multicluster() {
		kinds, most = append(kinds, importsOf), 39
	}
	switch what := rapid.IntRange(0, most).Draw(t, "change"); {
	case what < 6:
		return m.drawService(t), true
	case what < 15:
		return m.drawSlice(t), true
	case what < 23:
		return m.editSlice(t)
	case what < 25:
		return m.drawNamespace(t), true
	case what < 27:
		return m.drawPod(t), true
	case what < 32:
		kind := pick(t, kinds, "kind")
		k, ok := m.anyOf(t, kind)
		if !ok {
			return event{}, false
		}
		return m.remove(kind, k), true
	default:
		return m.drawImport(t), true
	}
}

func keyOf(o metav1.Object) object.Key {
	return object.Key{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// put changes an object at the API server.
func (m *machine) put(kind int, o metav1.Object) event {
	m.version++
	o.SetResourceVersion(strconv.Itoa(m.version))
	m.truth[kind][keyOf(o)] = o
	return event{kind: kind, object: o}
}

// remove deletes an object at the API server. The event has the version of the deletion.
func (m *machine) remove(kind int, k object.Key) event {
	m.version++
	o := deepCopy(m.truth[kind][k])
	o.SetResourceVersion(strconv.Itoa(m.version))
	delete(m.truth[kind], k)
	return event{kind: kind, object: o, deleted: true}
}

func deepCopy(o metav1.Object) metav1.Object {
	switch o := o.(type) {
	case *corev1.Service:
		return o.DeepCopy()
	case *discoveryv1.EndpointSlice:
		return o.DeepCopy()
	case *corev1.Namespace:
		return o.DeepCopy()
	case *object.ServiceImport:
		return o.DeepCopyObject().(*object.ServiceImport)
	default:
		return o.(*corev1.Pod).DeepCopy()
	}
}
