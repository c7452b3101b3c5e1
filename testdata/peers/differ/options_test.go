package differ

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// zone is the cluster zone, without its final dot.
const zone = "cluster.local"

// options are those of the kubernetes directive, and what else a seed decides
// about the whole run.
type options struct {
	pods            string
	onward          []string // fallthrough; nil is none, "" all
	ttl             int
	podNames        bool // endpoint_pod_names
	ignoreEmpty     bool
	noEndpoints     bool
	namespaceList   []string
	namespaceLabels string
	labels          string
	front           bool // a service fronts this server
}

// newOptions turns the seed's digits into options, so that any run of
// consecutive seeds has all of them.
func newOptions(seed uint64) options {
	o := options{
		pods:   []string{"insecure", "verified", "disabled"}[seed%3],
		onward: [][]string{{"in-addr.arpa", "ip6.arpa"}, nil, {""}, {"in-addr.arpa"}}[seed%4],
		ttl:    []int{30, 5, 0, 3600, 301}[seed%5],
		front:  seed%2 == 0,
	}
	switch seed % 7 {
	case 1:
		o.podNames = true
	case 2:
		o.ignoreEmpty = true
	case 3:
		o.podNames, o.ignoreEmpty = true, true
	case 4:
		o.namespaceList = append([]string{"default", "kube-system"}, namespaceWords[:12]...)
	case 5:
		o.labels = "tier=open"
	case 6:
		o.namespaceLabels = "tier=open"
	case 0:
		o.noEndpoints = seed > 0
	}
	return o
}

// corefile is what both servers run on. READY is an address of each.
func (o *options) corefile(kubeconfig, upstream string) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	add("pods %s", o.pods)
	add("ttl %d", o.ttl)
	if o.onward != nil {
		add("fallthrough %s", strings.Join(o.onward, " "))
	}
	if o.podNames {
		add("endpoint_pod_names")
	}
	if o.ignoreEmpty {
		add("ignore empty_service")
	}
	if o.noEndpoints {
		add("noendpoints")
	}
	if o.namespaceList != nil {
		add("namespaces %s", strings.Join(o.namespaceList, " "))
	}
	if o.namespaceLabels != "" {
		add("namespace_labels %s", o.namespaceLabels)
	}
	if o.labels != "" {
		add("labels %s", o.labels)
	}
	return fmt.Sprintf(`. {
	errors
	ready READY
	kubernetes %s in-addr.arpa ip6.arpa {
		kubeconfig %s
		%s
	}
	forward . %s
}
`, zone, kubeconfig, strings.Join(lines, "\n\t\t"), upstream)
}

// exposes reports whether objects of a namespace are to be seen.
func (o *options) exposes(ns *corev1.Namespace) bool {
	if o.namespaceLabels != "" && ns.Labels["tier"] != "open" {
		return false
	}
	if o.namespaceList == nil {
		return true
	}
	for _, name := range o.namespaceList {
		if name == ns.Name {
			return true
		}
	}
	return false
}
