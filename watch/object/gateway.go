package object

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// gatewayGroup is the group of the Gateway API.
const gatewayGroup = "gateway.networking.k8s.io"

// gatewayVersions are versions of the Gateway API, the preferred one first.
func gatewayVersions(versions ...string) (list []schema.GroupVersion) {
	for _, v := range versions {
		list = append(list, schema.GroupVersion{Group: gatewayGroup, Version: v})
	}
	return list
}

// customList is a list of custom resources. Schemes know it by the name of the Go type that has it.
type customList[T any] struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []T `json:"items"`
}

// Gateway is a custom resource (Gateway API): the fields of it that are read. Schemes know it by the name of its Go type.
type Gateway struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		GatewayClassName string            `json:"gatewayClassName"`
		Listeners        []GatewayListener `json:"listeners"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Type  string `json:"type"` // "IPAddress", which is the default, or "Hostname"
			Value string `json:"value"`
		} `json:"addresses"`
	} `json:"status"`
}

// GatewayListener is a listener of a Gateway: the fields of it that are read.
type GatewayListener struct {
	Name     string `json:"name"`
	Hostname string `json:"hostname"` // "" for any
	Port     int32  `json:"port"`
	Protocol string `json:"protocol"`
}

// GatewayList is a list of them.
type GatewayList struct{ customList[Gateway] }

// DeepCopyObject implements runtime.Object.
func (o *Gateway) DeepCopyObject() runtime.Object {
	c := *o
	c.ObjectMeta = *o.ObjectMeta.DeepCopy()
	c.Spec.Listeners, c.Status.Addresses = slices.Clone(o.Spec.Listeners), slices.Clone(o.Status.Addresses)
	return &c
}

// DeepCopyObject implements runtime.Object.
func (o *GatewayList) DeepCopyObject() runtime.Object {
	return &GatewayList{copyList(o.customList, (*Gateway).DeepCopyObject)}
}

func copyList[T any](l customList[T], deepCopy func(*T) runtime.Object) customList[T] {
	c := l
	c.ListMeta = *l.ListMeta.DeepCopy()
	c.Items = nil
	for i := range l.Items {
		c.Items = append(c.Items, *any(deepCopy(&l.Items[i])).(*T))
	}
	return c
}

// KeptGateway is what is read of a Gateway: what clients reach it by, and which names its listeners take.
type KeptGateway struct {
	Key
	Version   string
	Listeners []Listener
	Outside   Outside
}

// Listener is a listener of a Gateway. It never changes, and is comparable.
type Listener struct {
	Name     string
	Host     string // in lower case; "" for any, the first label may be *
	Port     int32
	Protocol string
}

// stripGateway keeps what is read of a Gateway; nil when it has no address.
func stripGateway(o *Gateway, selection Selection) (*KeptGateway, []Problem) {
	wrong := Problems{kind: "gateway", Key: KeyOf(o)}
	if classes := selection.Hosts.GatewayClasses; classes != "" && !hasWord(classes, o.Spec.GatewayClassName) {
		return nil, nil
	}
	g := &KeptGateway{Key: wrong.Key, Version: o.ResourceVersion}
	for _, addr := range o.Status.Addresses {
		switch addr.Type {
		case "", "IPAddress":
			g.Outside.add(addr.Value, "", &wrong)
		case "Hostname":
			g.Outside.add("", addr.Value, &wrong)
		}
	}
	if g.Outside.empty() {
		return nil, wrong.List
	}
	for _, l := range o.Spec.Listeners {
		host, ok := lowerHost(l.Hostname, &wrong)
		if ok {
			g.Listeners = append(g.Listeners, Listener{l.Name, host, l.Port, l.Protocol})
		}
	}
	return g, wrong.List
}

// Takes reports whether a listener may take routes of a kind, by its protocol. Of protocols that are not the Gateway
// API's own nothing is known.
func (l *Listener) Takes(route string) bool {
	switch l.Protocol {
	case "HTTP", "HTTPS":
		return route == "HTTPRoute" || route == "GRPCRoute"
	case "TLS":
		return route == "TLSRoute"
	case "TCP", "UDP":
		return false
	}
	return true
}

// Size is about how many octets g takes; none if it is nil.
func (g *KeptGateway) Size() int {
	if g == nil {
		return 0
	}
	size := 256 + len(g.Name) + len(g.Namespace) + len(g.Version) + g.Outside.Size()
	for i := range g.Listeners {
		size += 64 + len(g.Listeners[i].Name) + len(g.Listeners[i].Host) + len(g.Listeners[i].Protocol)
	}
	return size
}

// About implements Object.
func (g *KeptGateway) About() (Key, string) { return g.Key, g.Version }
