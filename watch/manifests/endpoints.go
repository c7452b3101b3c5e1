package manifests

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/clusterdns/clusterdns/watch/object"
)

// controllerName is in the label of slices that Kubernetes' own controller wrote.
const controllerName = "endpointslice-controller.k8s.io"

// newSlice is an empty slice of a service, or of Endpoints of its name, with their labels.
func newSlice(
	owner metav1.Object,
	family discoveryv1.AddressType,
	ports []discoveryv1.EndpointPort,
	parts ...string,
) *discoveryv1.EndpointSlice {
	name := owner.GetName() + "-" + letters(5, append(parts, owner.GetNamespace(), owner.GetName(), string(family))...)
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: owner.GetNamespace(), Name: name, Labels: map[string]string{}},
		AddressType: family,
		Ports:       ports,
	}
	maps.Copy(s.Labels, owner.GetLabels())
	s.Labels[discoveryv1.LabelServiceName] = owner.GetName()
	if o, ok := owner.(*corev1.Service); ok && isHeadless(&o.Spec) {
		s.Labels[corev1.IsHeadlessService] = ""
	}
	return s
}

// addSlice takes a slice that was made, under a name that no other slice has.
func (c *controlPlane) addSlice(o *discoveryv1.EndpointSlice) {
	name := o.Name
	for n := 0; ; n++ {
		if _, exists := c.written[id{"EndpointSlice", object.KeyOf(o)}]; !exists {
			break
		}
		o.Name = name + "-" + strconv.Itoa(n)
	}
	c.written[id{"EndpointSlice", object.KeyOf(o)}] = manifest{}
	c.slices = append(c.slices, o)
}

// buildSlices makes the slices of services with a selector, as the EndpointSlice controller does; but for a service
// whose slices, as the controller wrote them, are among the manifests.
func (c *controlPlane) buildSlices() {
	built := map[object.Key]bool{}
	for _, o := range c.slices {
		if o.Labels[discoveryv1.LabelManagedBy] == controllerName {
			built[object.Key{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}] = true
		}
	}
	byLabel := c.podsByLabel()
	for _, o := range c.services {
		if len(o.Spec.Selector) == 0 || o.Spec.Type == corev1.ServiceTypeExternalName || built[object.KeyOf(o)] {
			continue
		}
		pods := selected(o, byLabel)
		c.reportTargets(o, pods)
		c.remarkUnmatched(o, pods)
		for _, family := range families(o) {
			for _, made := range buildFamily(o, discoveryv1.AddressType(family), pods) {
				c.addSlice(made)
			}
		}
	}
}

// reportTargets reports which ports of a service have a name that none of its pods has: an API server takes it, and the
// port has no records.
func (c *controlPlane) reportTargets(o *corev1.Service, pods []*corev1.Pod) {
	for i := range o.Spec.Ports {
		p := &o.Spec.Ports[i]
		has := func(pod *corev1.Pod) bool { return targetPort(p, cmp.Or(p.Protocol, corev1.ProtocolTCP), pod) != 0 }
		if len(pods) > 0 && !slices.ContainsFunc(pods, has) {
			c.report(c.source[o].faultIn(fmt.Sprintf("target port %q is no port of the service's pods", p.TargetPort.StrVal)))
		}
	}
}

// remarkUnmatched remarks on a selector that finds no pod. The pods may be made by somebody else, an operator for one.
// Of a headless service the index says it, where its names are missing.
func (c *controlPlane) remarkUnmatched(o *corev1.Service, pods []*corev1.Pod) {
	if m, written := c.source[o]; written && len(pods) == 0 && !isHeadless(&o.Spec) {
		c.remarks = append(c.remarks, *m.fault("spec.selector",
			title("Service", object.KeyOf(o))+": its selector matches no pod of these manifests"))
	}
}

// remarkServiceNames remarks on StatefulSets of a service that is not there: their pods have no names.
func (c *controlPlane) remarkServiceNames() {
	for _, w := range c.workloads {
		if w.serviceName == "" {
			continue
		}
		service := object.Key{Namespace: w.GetNamespace(), Name: w.serviceName}
		if _, exists := c.written[id{"Service", service}]; !exists && c.rejected[service] == nil {
			c.remarks = append(c.remarks, *w.fault("spec.serviceName", fmt.Sprintf(
				"%s: its serviceName %q is no service of these manifests: its pods have no names",
				title(w.kind, object.KeyOf(w)), w.serviceName)))
		}
	}
}

// podLabel is one label of the pods of a namespace.
type podLabel struct{ namespace, name, value string }

// podsByLabel spares services a walk over all pods.
func (c *controlPlane) podsByLabel() map[podLabel][]*corev1.Pod {
	by := map[podLabel][]*corev1.Pod{}
	byName := func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) }
	for _, o := range slices.SortedFunc(slices.Values(c.pods), byName) {
		for name, value := range o.Labels {
			at := podLabel{o.Namespace, name, value}
			by[at] = append(by[at], o)
		}
	}
	return by
}

// selected are the pods that a service selects, in the order of their names. Any label of its selector finds them all:
// the rarest is taken.
func selected(o *corev1.Service, byLabel map[podLabel][]*corev1.Pod) (pods []*corev1.Pod) {
	first := true
	for name, value := range o.Spec.Selector {
		if list := byLabel[podLabel{o.Namespace, name, value}]; first || len(list) < len(pods) {
			pods, first = list, false
		}
	}
	matches := labels.SelectorFromSet(o.Spec.Selector)
	return slices.DeleteFunc(
		slices.Clone(pods),
		func(p *corev1.Pod) bool { return ended(p) || !matches.Matches(labels.Set(p.Labels)) },
	)
}

// buildFamily makes the slices of one family: one for each set of ports that pods resolve the service's ports to.
func buildFamily(
	o *corev1.Service,
	family discoveryv1.AddressType,
	pods []*corev1.Pod,
) (made []*discoveryv1.EndpointSlice) {
	byPorts := map[string]*discoveryv1.EndpointSlice{}
	for _, p := range pods {
		var addresses []string
		for _, text := range object.PodIPs(p) {
			if familyOf(text) == family {
				addresses = append(addresses, text)
			}
		}
		if len(addresses) == 0 {
			continue
		}
		ports, text := endpointPorts(o, p)
		s := byPorts[text]
		if s == nil {
			s = newSlice(o, family, ports, text)
			s.Labels[discoveryv1.LabelManagedBy] = controllerName
			byPorts[text] = s
			made = append(made, s)
		}
		ready := o.Spec.PublishNotReadyAddresses || podReady(p)
		e := discoveryv1.Endpoint{Addresses: addresses, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}}
		if p.Spec.Hostname != "" && p.Spec.Subdomain == o.Name {
			e.Hostname = &p.Spec.Hostname
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return made
}

// podReady reports whether a pod is ready: by its condition, or for want of one.
func podReady(o *corev1.Pod) bool {
	if o.DeletionTimestamp != nil || o.Status.Phase == corev1.PodPending {
		return false
	}
	for _, c := range o.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return true
}

// endpointPorts are a service's ports as numbers at a pod, and the same as a text to group pods by. A port whose name
// the pod does not have is left out.
func endpointPorts(o *corev1.Service, p *corev1.Pod) (ports []discoveryv1.EndpointPort, text string) {
	var b strings.Builder
	for i := range o.Spec.Ports {
		named := &o.Spec.Ports[i]
		protocol := cmp.Or(named.Protocol, corev1.ProtocolTCP)
		number := targetPort(named, protocol, p)
		if number == 0 {
			continue
		}
		ports = append(ports, discoveryv1.EndpointPort{Name: &named.Name, Protocol: &protocol, Port: &number})
		b.WriteString(named.Name + "/" + string(protocol) + "/" + strconv.Itoa(int(number)) + " ")
	}
	return ports, b.String()
}

// targetPort is the number of a service's port at a pod; 0 when the pod has none of that name.
func targetPort(named *corev1.ServicePort, protocol corev1.Protocol, p *corev1.Pod) int32 {
	target := named.TargetPort
	switch {
	case target.Type == intstr.Int && target.IntVal != 0:
		return target.IntVal
	case target.StrVal == "":
		return named.Port // none given: the API server sets it to the port's own number
	}
	for _, container := range slices.Concat(p.Spec.Containers, sidecars(p)) {
		for _, port := range container.Ports {
			if port.Name == target.StrVal && cmp.Or(port.Protocol, corev1.ProtocolTCP) == protocol {
				return port.ContainerPort
			}
		}
	}
	return 0
}

// sidecars are the init containers that go on running.
func sidecars(p *corev1.Pod) (list []corev1.Container) {
	for _, container := range p.Spec.InitContainers {
		if object.Value(container.RestartPolicy) == corev1.ContainerRestartPolicyAlways {
			list = append(list, container)
		}
	}
	return list
}
