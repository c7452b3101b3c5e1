package object

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/clusterdns/clusterdns/zones"
)

// Pod is what is read of a Pod, for `pods verified` and autopath: a pod that runs or will run, with its addresses.
type Pod struct {
	Key
	Version string
	Addrs   []netip.Addr
	Host    bool              // hostNetwork: it has the addresses of its node
	Place   zones.Place       // its node, with Selection.Who
	Started int64             // in seconds since 1970; 0 before a kubelet has seen it
	Details *zones.PodDetails // nil unless Selection has Clients or PodDetails, which has labels
}

// labelOctets bounds the labels that are kept of a pod: a few hundred octets are usual, and any tenant can write a
// megabyte.
const labelOctets = 8 << 10

// stripPod keeps what is read of a Pod; nil when it has no address, has ended, was lost or is being deleted: its
// address may be another pod's already.
func stripPod(o *corev1.Pod, s Selection) (*Pod, []Problem) {
	wrong := Problems{kind: "pod", Key: KeyOf(o)}
	if slices.Contains([]corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown}, o.Status.Phase) ||
		o.DeletionTimestamp != nil {
		return nil, nil
	}
	p := &Pod{Key: wrong.Key, Version: o.ResourceVersion, Host: o.Spec.HostNetwork}
	if o.Status.StartTime != nil {
		p.Started = o.Status.StartTime.Unix()
	}
	for _, text := range PodIPs(o) {
		if addr, ok := ParseAddr(text); ok {
			p.Addrs = append(p.Addrs, addr)
		} else {
			wrong.Add(text, "pod IP %q is not an IP address")
		}
	}
	if len(p.Addrs) == 0 {
		return nil, wrong.List
	}
	if s.Who {
		p.Place = s.Places.Number(p.Namespace, zones.Where{Node: o.Spec.NodeName})
	}
	if s.Clients {
		p.Details, _ = zones.NewPodDetails(p.Name, nil, 0)
	}
	if s.PodDetails {
		var omitted int
		if p.Details, omitted = zones.NewPodDetails(p.Name, o.Labels, labelOctets); omitted > 0 {
			wrong.Add(omitted, "%d of its labels are left out: those of a pod may take 8 KiB")
		}
	}
	return p, wrong.List
}

// PodIPs are the texts of a pod's addresses. Both fields are set by a kubelet; by hand often only the singular.
func PodIPs(o *corev1.Pod) []string {
	if len(o.Status.PodIPs) == 0 && o.Status.PodIP != "" {
		return []string{o.Status.PodIP}
	}
	texts := make([]string, len(o.Status.PodIPs))
	for i, p := range o.Status.PodIPs {
		texts[i] = p.IP
	}
	return texts
}

// About implements Object.
func (p *Pod) About() (Key, string) { return p.Key, p.Version }
