package differ

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// zone is the cluster zone, without its final dot.
const zone = "cluster.local"

// options are those of the kubernetes directive, and what else a seed decides
// about the whole run.
type options struct {
	zones           []string // names and blocks of addresses, the cluster zone first
	pods            string
	onward          []string // fallthrough; nil is none, "" all
	ttl             int
	podNames        bool // endpoint_pod_names
	ignoreEmpty     bool
	noEndpoints     bool
	namespaceList   []string
	namespaceLabels string
	labels          string
	zonal           bool
	alone           bool // nothing is forwarded
	multicluster    bool
	front           bool // a service fronts this server
}

// A variant is a seed's options with some that no seed has.
type variant struct {
	name   string
	change func(*options)
}

var variants = []variant{
	// Seeds 3, 6, 9 and so on.
	{"zonal", func(o *options) { o.zonal, o.noEndpoints = true, false }},
	{"several zones", func(o *options) {
		o.zones = []string{zone, "east." + zone, "west.example", "in-addr.arpa", "ip6.arpa"}
		o.onward = []string{"svc." + zone, "west.example"}
	}},
	{"blocks of addresses", func(o *options) { o.zones = []string{zone, "10.96.0.0/13", "10.244.0.0/23", "fd00:10:96::/110"} }},
	// Seeds 1, 4, 7.
	{"no forward", func(o *options) { o.alone, o.onward = true, nil }},
	{"filters", func(o *options) {
		o.pods, o.labels, o.podNames, o.ignoreEmpty, o.noEndpoints = "verified", "tier=open", true, true, false
		o.namespaceLabels, o.namespaceList = "", append([]string{"default"}, namespaceWords[5:]...)
	}},
	{"multicluster, namespaces by label", func(o *options) { o.addClusterset(); o.namespaceLabels = "tier=open" }},
	// Seeds 2, 5, 8.
	{"multicluster", (*options).addClusterset},
	{"multicluster, namespaces by name", func(o *options) {
		o.addClusterset()
		o.namespaceList = append([]string{"default"}, namespaceWords[8:]...)
	}},
	{"multicluster, no endpoints", func(o *options) { o.addClusterset(); o.noEndpoints = true }},
}

// variantsOf are three for each seed, so that three consecutive seeds have all.
func variantsOf(seed uint64) []variant {
	first := seed % 3 * 3
	return variants[first : first+3]
}

// addClusterset adds the zone of imports. Which option hides some of them is the
// variant's to say, whatever the seed's own.
func (o *options) addClusterset() {
	o.zones, o.multicluster, o.pods = []string{zone, clusterset, "in-addr.arpa", "ip6.arpa"}, true, "insecure"
	o.namespaceLabels, o.namespaceList, o.noEndpoints = "", nil, false
}

// selectsImports reports whether CoreDNS gives namespaceLabels a second
// meaning: it wants the labels on imports as well as on their namespaces.
func (o *options) selectsImports() bool { return o.multicluster && o.namespaceLabels != "" }

// newOptions turns the seed's digits into options, so that any run of
// consecutive seeds has all of them.
func newOptions(seed uint64) options {
	o := options{
		zones:  []string{zone, "in-addr.arpa", "ip6.arpa"},
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
	if o.zonal {
		add("zonal")
	}
	if o.multicluster {
		add("multicluster %s", clusterset)
	}
	block, forward := ".", "forward . "+upstream
	if o.alone {
		block, forward = strings.Join(o.zones, " "), ""
	}
	return fmt.Sprintf(`%s {
	errors
	ready READY
	kubernetes %s {
		kubeconfig %s
		%s
	}
	%s
}
`, block, strings.Join(o.zones, " "), kubeconfig, strings.Join(lines, "\n\t\t"), forward)
}

// claimed are the names of the zones, those of a block of addresses by RFC 4632
// section 3.1: as many as it takes to cover it with whole labels.
func (o *options) claimed() (list []string) {
	for _, z := range o.zones {
		block, err := netip.ParsePrefix(z)
		if err != nil {
			list = append(list, z+".")
			continue
		}
		bits := 8 // of a label
		if block.Addr().Is6() {
			bits = 4
		}
		labels := (block.Bits() + bits - 1) / bits
		for addr := block.Addr(); block.Contains(addr); addr = nextBlock(addr, labels*bits) {
			name, _ := dns.ReverseAddr(addr.String())
			parts := dns.SplitDomainName(name)
			list = append(list, strings.Join(parts[len(parts)-2-labels:], ".")+".")
		}
	}
	return list
}

// nextBlock is the address after those that have the first bits with addr.
func nextBlock(addr netip.Addr, bits int) netip.Addr {
	octets := addr.AsSlice()
	i := (bits - 1) / 8
	for step := byte(1 << (7 - (bits-1)%8)); ; step = 1 {
		octets[i] += step
		if octets[i] >= step || i == 0 {
			break
		}
		i--
	}
	next, _ := netip.AddrFromSlice(octets)
	return next
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
