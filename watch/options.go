package watch

import (
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// Options is one source of Kubernetes objects and what is kept of it. It is comparable: blocks of a Corefile whose
// Options are equal share one source and one index. At most one of Manifests, Kubeconfig and Endpoint may be set; with
// none of them the source is the cluster that the process runs in.
type Options struct {
	Manifests  string // directory of YAML manifests
	Kubeconfig string // file
	Context    string // context of Kubeconfig; "" for its current one
	Endpoint   string // URL of an API server
	CertFile   string // TLS client certificate for Endpoint, with KeyFile and CAFile
	KeyFile    string
	CAFile     string

	object.Selection
	ExternalHeadless bool // with External: headless services have external names too
	IgnoreEmpty      bool // ignore empty_service: a ClusterIP service without ready endpoints has no names
	Toplevel         Toplevel
	Cluster          string // with ServiceImports: the id of the cluster whose endpoints come before those of others; "" for none
	ClusterOff       bool   // with Cluster: only for imports whose annotation says so

	QPS         float32 // requests a second to the API server; 0 for client-go's default
	Burst       int     // 0 for client-go's default
	MaxInflight int     // requests at a time; 0 for no bound

	Snapshot SnapshotFile // of an API server: where what is held is kept for the next start

	home string // the namespace of this server's own pod; set by New
}

// Hosts is which objects have names by k8s_gateway.
type Hosts = object.Hosts

// The service that fronts the DNS server of nearly every cluster.
const (
	systemNamespace = "kube-system"
	systemService   = "kube-dns"
)

// fronts reports whether a service may front this server: kube-dns, or one of the namespace of this server's own pod,
// since the selector of a service is for pods of its own namespace. Whoever may write there may change this server too.
// Endpoints say whether it does; they alone do not, because any tenant can write this server's address into a slice.
func (o Options) fronts(k object.Key) bool {
	return k.Namespace == o.home || k.Namespace == systemNamespace && k.Name == systemService
}

// knowsEndpoints reports whether a service without endpoints has none. Those of default/kubernetes are API servers, which
// manifests do not have.
func (o Options) knowsEndpoints(k object.Key) bool {
	return !o.NoEndpoints && !o.ServiceImports && (o.Manifests == "" || k != object.Key{Namespace: "default", Name: "kubernetes"})
}

// namespaceFile has the namespace of the pod that the process runs in.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// findHome is the namespace of this server's pod, if it runs in the cluster that it serves; else kube-system stands in.
func (o Options) findHome() string {
	if o.Manifests == "" && o.Kubeconfig == "" && o.Endpoint == "" {
		if text, err := os.ReadFile(namespaceFile); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	return systemNamespace
}

// StartupTimeout is how long a reload waits for the first sync of a new source before it gives up and the old
// configuration goes on (`startup_timeout`). The start of the program waits for nothing.
const StartupTimeout = 5 * time.Second

// CheckSelector returns what is wrong with text as a label selector.
func CheckSelector(text string) error {
	_, err := labels.Parse(text)
	return err
}

// Required are the kinds that must have been read before all names of the source can be answered.
func (o Options) Required() zones.Kinds {
	kinds := zones.ServiceKinds
	if o.VerifyPods {
		kinds |= zones.PodObjects
	}
	return kinds | o.hostsKinds()
}

// hostsKinds are the kinds that must have been read before a name of k8s_gateway can be denied; none without one.
func (o Options) hostsKinds() (kinds zones.Kinds) {
	if o.Hosts.Zones == "" {
		return 0
	}
	for i := range object.Resources {
		r := &object.Resources[i]
		if r.When(o.Selection) && r.Kind&(zones.Slices|zones.PodObjects|zones.Nodes) == 0 {
			kinds |= r.Kind
		}
	}
	return kinds
}
