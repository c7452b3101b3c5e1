package object

import (
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reader reads objects of one resource as an API server sends them in protobuf: of each, the fields that Strip reads. What
// Read returns is for Strip until the next call, and its texts are parts of the message: of those Strip keeps copies. A Reader
// is for one goroutine.
type Reader interface {
	Read(message string) (metav1.Object, error)
}

// Text is the octets of a message as a Reader takes them, without a copy. They must not change while the text, or what is read of
// it, is read.
func Text(message []byte) string { return unsafe.String(unsafe.SliceData(message), len(message)) }

// extend is list with one more element, an empty one: what is behind the end of list has been emptied.
func extend[T any](list []T) []T {
	if len(list) < cap(list) {
		return list[:len(list)+1]
	}
	var none T
	return append(list, none)
}

// sliceReader is the Reader of EndpointSlices.
type sliceReader struct {
	slice discoveryv1.EndpointSlice
	texts []endpointTexts // what the endpoints point to
	ports []portTexts     // and the ports
}

type endpointTexts struct {
	ready                bool
	hostname, node, zone string
	target               corev1.ObjectReference
	hints                discoveryv1.EndpointHints
}

type portTexts struct {
	name     string
	protocol corev1.Protocol
	number   int32
}

func newSliceReader() Reader { return new(sliceReader) }

// Read implements Reader.
func (r *sliceReader) Read(message string) (metav1.Object, error) {
	r.reset()
	s, f := &r.slice, fields{rest: message}
	for f.next() {
		switch f.number {
		case 1:
			f.metadata(&s.ObjectMeta)
		case 2:
			r.endpoint(&f)
		case 3:
			r.port(&f)
		case 4:
			s.AddressType = discoveryv1.AddressType(f.string())
		}
	}
	return s, f.err()
}

// reset empties the lists, also behind the end that they are given: else each element there would keep the message of which
// it has a text, and slices that have one endpoint less each time would keep a message for each endpoint.
func (r *sliceReader) reset() {
	s := &r.slice
	resetMetadata(&s.ObjectMeta)
	for i := range s.Endpoints {
		e, to := &s.Endpoints[i], &r.texts[i]
		*e = discoveryv1.Endpoint{Addresses: emptied(e.Addresses)}
		*to = endpointTexts{hints: discoveryv1.EndpointHints{ForZones: emptied(to.hints.ForZones), ForNodes: emptied(to.hints.ForNodes)}}
	}
	s.AddressType, s.Endpoints, s.Ports = "", s.Endpoints[:0], emptied(s.Ports)
	r.texts, r.ports = r.texts[:0], emptied(r.ports)
}

// emptied is list without its elements, none of which is left in its memory.
func emptied[T any](list []T) []T {
	clear(list)
	return list[:0]
}

// endpoint reads a field that is an Endpoint.
func (r *sliceReader) endpoint(f *fields) {
	r.slice.Endpoints, r.texts = extend(r.slice.Endpoints), extend(r.texts)
	e, to := &r.slice.Endpoints[len(r.slice.Endpoints)-1], &r.texts[len(r.texts)-1]
	inner := f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			e.Addresses = append(e.Addresses, inner.string())
		case 2:
			inner.conditions(e, to)
		case 3:
			to.hostname = inner.string()
			e.Hostname = &to.hostname
		case 4:
			e.TargetRef = &to.target
			inner.reference(&to.target)
		case 6:
			to.node = inner.string()
			e.NodeName = &to.node
		case 7:
			to.zone = inner.string()
			e.Zone = &to.zone
		case 8:
			e.Hints = &to.hints
			inner.hints(&to.hints)
		}
	}
	f.close(&inner)
}

// conditions reads EndpointConditions.
func (f *fields) conditions(e *discoveryv1.Endpoint, to *endpointTexts) {
	inner := f.message()
	for inner.next() {
		if inner.number == 1 {
			to.ready = inner.uint() != 0
			e.Conditions.Ready = &to.ready
		}
	}
	f.close(&inner)
}

// reference reads an ObjectReference.
func (f *fields) reference(to *corev1.ObjectReference) {
	inner := f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			to.Kind = inner.string()
		case 2:
			to.Namespace = inner.string()
		case 3:
			to.Name = inner.string()
		}
	}
	f.close(&inner)
}

// hints reads EndpointHints.
func (f *fields) hints(to *discoveryv1.EndpointHints) {
	inner := f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			to.ForZones = append(to.ForZones, discoveryv1.ForZone{Name: inner.name()})
		case 2:
			to.ForNodes = append(to.ForNodes, discoveryv1.ForNode{Name: inner.name()})
		}
	}
	f.close(&inner)
}

// name reads a message that has nothing but a name.
func (f *fields) name() (name string) {
	inner := f.message()
	for inner.next() {
		if inner.number == 1 {
			name = inner.string()
		}
	}
	f.close(&inner)
	return name
}

// port reads a field that is an EndpointPort.
func (r *sliceReader) port(f *fields) {
	r.slice.Ports, r.ports = extend(r.slice.Ports), extend(r.ports)
	p, to := &r.slice.Ports[len(r.slice.Ports)-1], &r.ports[len(r.ports)-1]
	inner := f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			to.name = inner.string()
			p.Name = &to.name
		case 2:
			to.protocol = corev1.Protocol(inner.string())
			p.Protocol = &to.protocol
		case 3:
			to.number = int32(inner.uint())
			p.Port = &to.number
		}
	}
	f.close(&inner)
}

// serviceReader is the Reader of Services.
type serviceReader struct {
	service corev1.Service
	policy  corev1.ServiceInternalTrafficPolicy
	spread  string // trafficDistribution
}

func newServiceReader() Reader { return new(serviceReader) }

// Read implements Reader.
func (r *serviceReader) Read(message string) (metav1.Object, error) {
	s := &r.service
	resetMetadata(&s.ObjectMeta)
	s.Spec = corev1.ServiceSpec{Ports: emptied(s.Spec.Ports), ClusterIPs: emptied(s.Spec.ClusterIPs), ExternalIPs: emptied(s.Spec.ExternalIPs)}
	s.Status.LoadBalancer.Ingress = emptied(s.Status.LoadBalancer.Ingress)
	r.policy, r.spread = "", ""
	f := fields{rest: message}
	for f.next() {
		switch f.number {
		case 1:
			f.metadata(&s.ObjectMeta)
		case 2:
			r.spec(&f)
		case 3:
			r.status(&f)
		}
	}
	return s, f.err()
}

// spec reads a field that is a ServiceSpec.
func (r *serviceReader) spec(f *fields) {
	spec, inner := &r.service.Spec, f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			spec.Ports = append(spec.Ports, corev1.ServicePort{})
			inner.servicePort(&spec.Ports[len(spec.Ports)-1])
		case 3:
			spec.ClusterIP = inner.string()
		case 4:
			spec.Type = corev1.ServiceType(inner.string())
		case 5:
			spec.ExternalIPs = append(spec.ExternalIPs, inner.string())
		case 7:
			spec.SessionAffinity = corev1.ServiceAffinity(inner.string())
		case 10:
			spec.ExternalName = inner.string()
		case 18:
			spec.ClusterIPs = append(spec.ClusterIPs, inner.string())
		case 22:
			r.policy = corev1.ServiceInternalTrafficPolicy(inner.string())
			spec.InternalTrafficPolicy = &r.policy
		case 23:
			r.spread = inner.string()
			spec.TrafficDistribution = &r.spread
		}
	}
	f.close(&inner)
}

// servicePort reads a ServicePort.
func (f *fields) servicePort(p *corev1.ServicePort) {
	inner := f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			p.Name = inner.string()
		case 2:
			p.Protocol = corev1.Protocol(inner.string())
		case 3:
			p.Port = int32(inner.uint())
		}
	}
	f.close(&inner)
}

// status reads a field that is a ServiceStatus.
func (r *serviceReader) status(f *fields) {
	inner := f.message()
	for inner.next() {
		if inner.number == 1 {
			r.loadBalancer(&inner)
		}
	}
	f.close(&inner)
}

// loadBalancer reads a field that is a LoadBalancerStatus.
func (r *serviceReader) loadBalancer(f *fields) {
	status, inner := &r.service.Status.LoadBalancer, f.message()
	for inner.next() {
		if inner.number == 1 {
			status.Ingress = append(status.Ingress, corev1.LoadBalancerIngress{})
			inner.ingress(&status.Ingress[len(status.Ingress)-1])
		}
	}
	f.close(&inner)
}

// ingress reads a LoadBalancerIngress.
func (f *fields) ingress(in *corev1.LoadBalancerIngress) {
	inner := f.message()
	for inner.next() {
		switch inner.number {
		case 1:
			in.IP = inner.string()
		case 2:
			in.Hostname = inner.string()
		}
	}
	f.close(&inner)
}
