package object

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterdns/clusterdns/zones"
)

// To watch a resource:
//   - here, in a file of its own, its stripped type with an About method, and its strip function
//   - its row in Resources below, with a Kind of its own: a constant in zones/index.go
//   - in watch/state.go its collection, what a change of it makes dirty, and what is compiled of it then; in
//     watch/options.go, Required, when names have to wait for it
//   - if a tenant can make as many as it likes: a Size method, and in watch/state.go its share of watch/budget.go
//   - its rule in deploy/base/clusterrole.yaml: a test compares the two
//
// Clients, lists, watches, relists, counters and the manifests that are read go by the row. The stand-in control plane
// (watch/manifests) needs code for a resource in three cases only: it makes such objects, an API server validates more
// of them than stripping does, or they have no namespace.

// Object is a stripped object: a pointer to one of the types of this package.
type Object interface {
	About() (name Key, version string) // the version is its resourceVersion
}

// SetNamespace gives an object that nothing else knows yet a namespace of the same name, so that those of a namespace have one
// text for it: there are more services and slices than namespaces.
func SetNamespace(o Object, namespace string) {
	switch o := o.(type) {
	case *Service:
		o.Namespace = namespace
	case *Slice:
		o.Namespace = namespace
	}
}

// Resource is one kind of objects that is read.
type Resource struct {
	Versions      []schema.GroupVersion // of one group; an API server is asked for the first of them that it has
	Plural        string
	Kind          zones.Kinds    // what it is held as: a ServiceImport is held as a service
	Example, List runtime.Object // of the decoded types
	Fields        string         // field selector
	Labelled      bool           // Selection.Labels applies
	Optional      bool           // a custom resource: a cluster without it is one that has no such objects
	Partial       bool           // the decoded types have the fields that are read, and no others
	When          func(Selection) bool

	// Strip keeps what is read of a decoded object, nil when nothing of it is served. ok is false for an object of another
	// resource.
	Strip func(decoded any, s Selection) (kept Object, problems []Problem, ok bool)

	// Reader makes a Reader; nil for the decoder that is generated.
	Reader func() Reader
}

var coreVersions = []schema.GroupVersion{corev1.SchemeGroupVersion}

// Resources are all that may be read.
var Resources = []Resource{
	{
		Versions: coreVersions, Plural: "services", Kind: zones.Services,
		Example: &corev1.Service{}, List: &corev1.ServiceList{}, Labelled: true,
		When:  func(s Selection) bool { return !s.ServiceImports },
		Strip: stripping(StripServed), Reader: newServiceReader,
	},
	{
		Versions: importVersions, Plural: "serviceimports", Kind: zones.Services,
		Example: &ServiceImport{}, List: &ServiceImportList{}, Labelled: true, Partial: true,
		When:  func(s Selection) bool { return s.ServiceImports },
		Strip: stripping(stripImport),
	},
	{
		Versions: coreVersions, Plural: "namespaces", Kind: zones.Namespaces,
		Example: &corev1.Namespace{}, List: &corev1.NamespaceList{},
		When:  func(Selection) bool { return true },
		Strip: stripping(stripNamespace),
	},
	{
		Versions: []schema.GroupVersion{discoveryv1.SchemeGroupVersion}, Plural: "endpointslices", Kind: zones.Slices,
		Example: &discoveryv1.EndpointSlice{}, List: &discoveryv1.EndpointSliceList{}, Labelled: true,
		When:  func(s Selection) bool { return !s.NoEndpoints },
		Strip: stripping(StripSlice), Reader: newSliceReader,
	},
	{
		Versions: []schema.GroupVersion{networkingv1.SchemeGroupVersion}, Plural: "ingresses", Kind: zones.Ingresses,
		Example: &networkingv1.Ingress{}, List: &networkingv1.IngressList{},
		When:  func(s Selection) bool { return s.Hosts.Reads("Ingress") },
		Strip: stripping(stripIngress),
	},
	{
		Versions: gatewayVersions("v1", "v1beta1"), Plural: "gateways", Kind: zones.Gateways,
		Example: &Gateway{}, List: &GatewayList{}, Optional: true, Partial: true,
		When:  func(s Selection) bool { return s.Hosts.ReadsRoutes() },
		Strip: stripping(stripGateway),
	},
	{
		Versions: gatewayVersions("v1", "v1beta1"), Plural: "httproutes", Kind: zones.HTTPRoutes,
		Example: &HTTPRoute{}, List: &HTTPRouteList{}, Optional: true, Partial: true,
		When:  func(s Selection) bool { return s.Hosts.Reads("HTTPRoute") },
		Strip: stripping(stripHTTPRoute),
	},
	{
		Versions: gatewayVersions("v1", "v1alpha3", "v1alpha2"), Plural: "tlsroutes", Kind: zones.TLSRoutes,
		Example: &TLSRoute{}, List: &TLSRouteList{}, Optional: true, Partial: true,
		When:  func(s Selection) bool { return s.Hosts.Reads("TLSRoute") },
		Strip: stripping(stripTLSRoute),
	},
	{
		Versions: gatewayVersions("v1", "v1alpha2"), Plural: "grpcroutes", Kind: zones.GRPCRoutes,
		Example: &GRPCRoute{}, List: &GRPCRouteList{}, Optional: true, Partial: true,
		When:  func(s Selection) bool { return s.Hosts.Reads("GRPCRoute") },
		Strip: stripping(stripGRPCRoute),
	},
	{
		Versions: endpointVersions, Plural: "dnsendpoints", Kind: zones.DNSEndpoints,
		Example: &DNSEndpoint{}, List: &DNSEndpointList{}, Optional: true, Partial: true,
		When:  func(s Selection) bool { return s.Hosts.Reads("DNSEndpoint") },
		Strip: stripping(stripDNSEndpoint),
	},
	{
		Versions: coreVersions, Plural: "pods", Kind: zones.PodObjects,
		Example: &corev1.Pod{}, List: &corev1.PodList{}, Labelled: true,
		Fields: "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown",
		When:   func(s Selection) bool { return s.VerifyPods },
		Strip:  stripping(stripPod),
	},
	{
		Versions: coreVersions, Plural: "nodes", Kind: zones.Nodes,
		Example: &corev1.Node{}, List: &corev1.NodeList{},
		When:  func(s Selection) bool { return s.Who || s.Clients && !s.VerifyPods },
		Strip: stripping(stripNode),
	},
}

// stripping makes the Strip of a row of the strip function for decoded objects of type O.
func stripping[O any, V interface {
	comparable
	Object
}](strip func(O, Selection) (V, []Problem)) func(any, Selection) (Object, []Problem, bool) {
	return func(decoded any, s Selection) (Object, []Problem, bool) {
		o, ok := decoded.(O)
		if !ok {
			return nil, nil, false
		}
		kept, problems := strip(o, s)
		var none V
		if kept == none {
			return nil, problems, true // not an interface that holds a nil pointer
		}
		return kept, problems, true
	}
}

// Selector is the label selector of the objects that a selection has.
func (r *Resource) Selector(s Selection) string {
	var parts []string
	if r.Labelled && s.Labels != "" {
		parts = append(parts, s.Labels)
	}
	if r.Kind == zones.Slices && s.ServiceImports {
		parts = append(parts, labelImportName) // those of the clusterset only
	}
	return strings.Join(parts, ",")
}
