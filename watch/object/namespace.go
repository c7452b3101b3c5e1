package object

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Namespace is what is read of a Namespace.
type Namespace struct {
	Name    string
	Version string
	Labels  map[string]string // kept only for namespace_labels and visibility
}

// stripNamespace keeps what is read of a Namespace; nil when its name cannot be a part of a domain name.
func stripNamespace(o *corev1.Namespace, selection Selection) (*Namespace, []Problem) {
	if !ValidLabel(o.Name) {
		return nil, []Problem{{Kind: "namespace", Key: Key{Name: o.Name}, Words: fmt.Sprintf("name %q is not a DNS label", o.Name)}}
	}
	n := &Namespace{Name: o.Name, Version: o.ResourceVersion}
	if selection.NamespaceLabels != "" || selection.Visibility != "" {
		n.Labels = o.Labels
	}
	return n, nil
}

// About implements Object.
func (n *Namespace) About() (Key, string) { return Key{Name: n.Name}, n.Version }
