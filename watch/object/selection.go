package object

import "github.com/clusterdns/clusterdns/zones"

// Selection is which objects of a cluster are read, and what of them is kept. It is comparable.
type Selection struct {
	Namespaces      string // only these, separated by commas, sorted; "" for all
	NamespaceLabels string // label selector on namespaces; "" for all
	Labels          string // label selector on services, slices and pods; "" for all
	Visibility      string // rules that say which namespaces clients see (watch.VisibilityRule); "" without the option

	PodNames       bool // endpoint_pod_names
	NoEndpoints    bool // slices are not watched
	Affinity       bool // affinity: session affinity of headless services, and which addresses are of one pod
	Zonal          bool // zonal: headless services have names for the topology zones of their endpoints
	VerifyPods     bool // pods are watched, for `pods verified`
	PodDetails     bool // with VerifyPods: their names and labels are kept, for metadata
	Clients        bool // it is kept which pod has an address: with VerifyPods of pods, else of slices and nodes
	External       bool // of services, what clients outside the cluster reach them by is kept (k8s_external)
	ServiceImports bool // the objects are ServiceImports and their slices, for `multicluster`

	NearestCluster bool // with ServiceImports: their annotation says which of them lead to the own cluster first

	Nearest zones.Nearest // how endpoints of headless services are chosen that do not say it; NearestUnset: of none, whatever it says

	Who    bool          // it is kept where endpoints, pods and nodes are: who asks is known (zones.Snapshot.Who)
	Places *zones.Places // with Who: their numbers; set by the source

	Hosts Hosts // what has names by k8s_gateway
}
