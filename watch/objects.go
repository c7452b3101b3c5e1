package watch

import (
	"net/netip"
	"time"
)

// key names a namespaced object.
type key struct{ namespace, name string }

// objects is everything a source has, as stripped as an API source's. Its slices belong to the receiver.
type objects struct {
	services   []*service
	slices     []*slice
	namespaces []*namespace
	pods       []*pod // filled only when Options.VerifyPods
}

// service is what is read of a Service (core/v1).
type service struct {
	key
	version      string // resourceVersion
	headless     bool
	flaw         flaw
	clusterIPs   []netip.Addr // valid ones, in the object's order
	externalName string       // "" unless the type is ExternalName
	ports        []port
}

// flaw is why a service has no names though it exists.
type flaw uint8

const (
	flawless     flaw = iota
	misnamed          // the type is ExternalName, and the name is none
	misaddressed      // it has cluster IPs, and none is valid
	refused           // an API server would refuse its manifest for another reason
)

// String is the flaw in words that follow the service's name.
func (f flaw) String() string {
	return [...]string{"flawless", "its external name is no domain name", "its cluster IPs are no IP addresses", "its manifest is refused"}[f]
}

// port is a port of a Service or an EndpointSlice.
type port struct {
	name     string // "" when unnamed
	protocol string // "TCP", "UDP" or "SCTP"
	number   int32  // -1 when the slice gives none
}

// slice is what is read of an EndpointSlice (discovery/v1).
type slice struct {
	key
	version   string
	service   string // label kubernetes.io/service-name
	cluster   string // label multicluster.kubernetes.io/source-cluster; "" outside a clusterset
	ports     []port
	endpoints packed    // the ready ones, one for each valid address
	unready   int       // addresses that are not ready
	trigger   time.Time // annotation endpoints.kubernetes.io/last-change-trigger-time; zero without
}

// endpoint is one address of a ready endpoint (conditions.ready nil or true).
type endpoint struct {
	addr     netip.Addr
	hostname string // the endpoint's own; "" without
	pod      string // name of the target pod, kept only for endpoint_pod_names
	zone     string // topology zone in lower case, kept only for zonal names; "" without
}

// namespace is what is read of a Namespace.
type namespace struct {
	name    string
	version string
	labels  map[string]string // kept only for namespace_labels
}

// pod is what is read of a Pod, for `pods verified`: a pod that runs or will run, with its addresses.
type pod struct {
	key
	version string
	addrs   []netip.Addr
}

// about is the name of an object and its version.
func (o *service) about() (key, string)   { return o.key, o.version }
func (o *slice) about() (key, string)     { return o.key, o.version }
func (o *namespace) about() (key, string) { return key{name: o.name}, o.version }
func (o *pod) about() (key, string)       { return o.key, o.version }
