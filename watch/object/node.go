package object

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// Node is what is read of a Node: the addresses that its own processes ask from, and pods with hostNetwork.
type Node struct {
	Name    string
	Version string
	Addrs   []netip.Addr
}

// stripNode keeps what is read of a Node. Its other addresses are names, or none of its own.
func stripNode(o *corev1.Node) (*Node, []Problem) {
	n := &Node{Name: o.Name, Version: o.ResourceVersion}
	for _, a := range o.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		if addr, ok := ParseAddr(a.Address); ok {
			n.Addrs = append(n.Addrs, addr)
		}
	}
	return n, nil
}

// About implements Object.
func (n *Node) About() (Key, string) { return Key{Name: n.Name}, n.Version }
