package object

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/clusterdns/clusterdns/zones"
)

// Node is what is read of a Node: the addresses that its own processes ask from, and pods with hostNetwork; with
// Selection.Who its topology zone and the ranges of its pods' addresses too.
type Node struct {
	zones.LiveNode
	Version string
}

// stripNode keeps what is read of a Node. Its other addresses are names, or none of its own.
func stripNode(o *corev1.Node, s Selection) (*Node, []Problem) {
	wrong := Problems{kind: "node", Key: Key{Name: o.Name}}
	n := &Node{LiveNode: zones.LiveNode{Name: o.Name}, Version: o.ResourceVersion}
	for _, a := range o.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		if addr, ok := ParseAddr(a.Address); ok {
			n.Addrs = append(n.Addrs, addr)
		}
	}
	if !s.Who {
		return n, nil
	}
	n.Zone = o.Labels[corev1.LabelTopologyZone]
	for _, text := range podCIDRs(o) {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			n.Pods = append(n.Pods, prefix.Masked())
		} else {
			wrong.Add(text, "podCIDR %q is no range of addresses")
		}
	}
	return n, wrong.List
}

// podCIDRs are the texts of the ranges of a node. An object older than dual stack has only the singular field.
func podCIDRs(o *corev1.Node) []string {
	if len(o.Spec.PodCIDRs) == 0 && o.Spec.PodCIDR != "" {
		return []string{o.Spec.PodCIDR}
	}
	return o.Spec.PodCIDRs
}

// About implements Object.
func (n *Node) About() (Key, string) { return Key{Name: n.Name}, n.Version }
