package object

import (
	"hash/fnv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/clusterdns/clusterdns/zones"
)

// Labels of the slices that a clusterset's controllers write (KEP-1645).
const (
	labelImportName    = "multicluster.kubernetes.io/service-name"
	labelSourceCluster = "multicluster.kubernetes.io/source-cluster"
)

// maxZone is how many characters a topology zone may have: it is the value of a Node's label. A zonal name has room for
// it.
const maxZone = 63

// Slice is what is read of an EndpointSlice (discovery/v1).
type Slice struct {
	Key
	Version   string
	Service   string // label kubernetes.io/service-name
	Cluster   string // label multicluster.kubernetes.io/source-cluster; "" outside a clusterset, or if it is no DNS label
	Nameless  bool   // the endpoints have no names of their own, as those of two clusters could share one
	Ports     []Port
	Endpoints Endpoints // one for each valid address
	Clients   Endpoints // with Selection.Clients, the addresses of pods, ready or not
	FQDN      bool      // its addresses are names, and not kept
	Unready   int       // addresses that are not ready
	Trigger   time.Time // annotation endpoints.kubernetes.io/last-change-trigger-time; zero without
}

// StripSlice keeps what is read of an EndpointSlice; nil when no answer can come of it. Nothing that it returns refers to the
// decoded object, whose texts may be parts of a message.
func StripSlice(o *discoveryv1.EndpointSlice, selection Selection) (*Slice, []Problem) {
	wrong := Problems{kind: "slice", Key: OwnKey(o)}
	s := &Slice{Key: wrong.Key, Version: strings.Clone(o.ResourceVersion), Service: o.Labels[discoveryv1.LabelServiceName]}
	if selection.ServiceImports {
		s.Service = o.Labels[labelImportName]
		s.Cluster = strings.Clone(strings.ToLower(o.Labels[labelSourceCluster]))
	}
	if strings.HasPrefix(s.Name, s.Service) { // controllers name slices so: one text for both
		s.Service = s.Name[:len(s.Service)]
	} else {
		s.Service = strings.Clone(s.Service)
	}
	if s.Service == "" {
		return nil, nil // it belongs to somebody else
	}
	if o.AddressType == discoveryv1.AddressTypeFQDN {
		// deprecated, since no component of Kubernetes ever took such endpoints; a service that is a name is an ExternalName
		wrong.Add(o.AddressType, "addressType %q is deprecated: names are not served as endpoints")
		s.FQDN = true
		return s, wrong.List
	}
	if o.AddressType != discoveryv1.AddressTypeIPv4 && o.AddressType != discoveryv1.AddressTypeIPv6 {
		wrong.Add(o.AddressType, "addressType %q is not IPv4, IPv6 or FQDN")
		return nil, wrong.List
	}
	if s.Cluster != "" && !ValidLabel(s.Cluster) {
		wrong.Add(o.Labels[labelSourceCluster], "source cluster %q is not a DNS label: its endpoints have no names")
		s.Cluster, s.Nameless = "", true
	}
	for _, p := range o.Ports {
		if kept, ok := stripPort(Value(p.Name), Value(p.Protocol), p.Port, &wrong); ok {
			s.Ports = append(s.Ports, kept)
		}
	}
	_, headless := o.Labels[corev1.IsHeadlessService]
	var few [2 << 10]byte // of a slice of a hundred endpoints: what lists outgrow is garbage
	list, clients := few[:0], []byte(nil)
	for i := range o.Endpoints {
		list = s.add(list, &o.Endpoints[i], o.AddressType, selection, headless, &wrong)
		if selection.Clients && !selection.VerifyPods {
			clients = s.addClient(clients, &o.Endpoints[i])
		}
	}
	s.Endpoints, s.Clients = Endpoints(list), Endpoints(clients)
	if text, ok := o.Annotations[corev1.EndpointsLastChangeTriggerTime]; ok { // read by a metric only
		s.Trigger, _ = time.Parse(time.RFC3339Nano, text)
	}
	return s, wrong.List
}

// add appends the addresses of one endpoint to list, or counts them when it is not ready.
func (s *Slice) add(
	list []byte,
	o *discoveryv1.Endpoint,
	family discoveryv1.AddressType,
	selection Selection,
	headless bool,
	wrong *Problems,
) []byte {
	kept := Endpoint{Hostname: Value(o.Hostname)}
	if kept.Hostname != "" && !ValidLabel(kept.Hostname) {
		wrong.Add(kept.Hostname, "hostname %q is not a DNS label")
		kept.Hostname = ""
	}
	if zone := strings.ToLower(Value(o.Zone)); selection.Zonal && zone != "" {
		if len(zone) <= maxZone && ValidName(zone) {
			kept.Zone = zone // "eu.west" is two labels of a zonal name
		} else {
			wrong.Add(*o.Zone, "topology zone %q is not a domain name of at most 63 characters")
		}
	}
	if r := o.TargetRef; selection.PodNames && r != nil && ValidLabel(r.Name) {
		kept.Pod = r.Name // a pod's name may hold dots or be longer than 63: such a pod is named by its address
	}
	if selection.Who {
		kept.Place = selection.Places.Number(s.Namespace, where(o))
	}
	if selection.Affinity && headless {
		kept.Pair = pairOf(o)
	}
	// nil means unknown, to be taken as ready (EndpointConditions)
	ready := o.Conditions.Ready == nil || *o.Conditions.Ready
	for _, text := range o.Addresses {
		addr, ok := ParseAddr(text)
		if !ok || addr.Is4() != (family == discoveryv1.AddressTypeIPv4) {
			wrong.Add(text, "endpoint %q is not an address of the slice's family")
			continue
		}
		kept.Addr = addr
		if ready {
			list = appendPacked(list, &kept)
			continue
		}
		s.Unready++
		if selection.Who {
			list = appendPacked(list, &Endpoint{Addr: addr, Place: kept.Place, unready: true})
		}
	}
	return list
}

// where is where an endpoint is, and for whom.
func where(o *discoveryv1.Endpoint) zones.Where {
	w := zones.Where{Node: Value(o.NodeName), Zone: Value(o.Zone)}
	if o.Hints != nil {
		for _, z := range o.Hints.ForZones {
			w.ForZones = append(w.ForZones, z.Name)
		}
		for _, n := range o.Hints.ForNodes {
			w.ForNodes = append(w.ForNodes, n.Name)
		}
	}
	return w
}

// pairOf stands for the pod of an endpoint in four octets, "" where nothing names it. The slices of IPv4 and IPv6 of a
// service name the same pods. That two pods of one service have the same octets is so unlikely that nothing is done about
// it: A and AAAA may then lead to different ones.
func pairOf(o *discoveryv1.Endpoint) string {
	name := Value(o.Hostname)
	if r := o.TargetRef; r != nil && r.Name != "" {
		name = r.Name
	}
	if name == "" {
		return ""
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return string(h.Sum(nil))
}

// addClient appends the addresses of an endpoint that is a pod, also while it is not ready: a pod that starts asks, too.
// The pod is one of the slice's namespace, so that nobody speaks for others. An API server takes any name.
func (s *Slice) addClient(list []byte, o *discoveryv1.Endpoint) []byte {
	r := o.TargetRef
	if r == nil || r.Kind != "Pod" || r.Namespace != "" && r.Namespace != s.Namespace || !ValidName(r.Name) {
		return list
	}
	for _, text := range o.Addresses {
		if addr, ok := ParseAddr(text); ok {
			list = appendPacked(list, &Endpoint{Addr: addr, Pod: r.Name})
		}
	}
	return list
}

// Size is about how many octets s takes; none if it is nil.
func (s *Slice) Size() int {
	if s == nil {
		return 0
	}
	size := 256 + len(s.Name) + len(s.Namespace) + len(s.Version) + len(s.Service) + len(s.Cluster) + len(s.Endpoints) + len(s.Clients)
	return size + portsSize(s.Ports)
}

// About implements Object.
func (s *Slice) About() (Key, string) { return s.Key, s.Version }
