package object

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RouteKinds are the kinds of routes that have hostnames.
var RouteKinds = []string{"HTTPRoute", "TLSRoute", "GRPCRoute"}

// route is a custom resource (Gateway API), of each kind that has hostnames: the fields of it that are read.
type route struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ParentRefs []ParentRef `json:"parentRefs"`
		Hostnames  []string    `json:"hostnames"`
	} `json:"spec"`
	Status struct {
		Parents []RouteParent `json:"parents"`
	} `json:"status"`
}

// ParentRef names what a route is attached to. It is comparable.
type ParentRef struct {
	Group       string `json:"group"` // "" for that of the Gateway API
	Kind        string `json:"kind"`  // "" for Gateway
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName"`
	Port        int32  `json:"port"`
}

// RouteParent is what a controller says of a route and one of its parents.
type RouteParent struct {
	ParentRef  ParentRef        `json:"parentRef"`
	Conditions []RouteCondition `json:"conditions"`
}

// RouteCondition is one of its words.
type RouteCondition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

// The kinds of routes and their lists. Schemes know them by the names of these Go types.
type (
	HTTPRoute     struct{ route }
	HTTPRouteList struct{ customList[HTTPRoute] }
	TLSRoute      struct{ route }
	TLSRouteList  struct{ customList[TLSRoute] }
	GRPCRoute     struct{ route }
	GRPCRouteList struct{ customList[GRPCRoute] }
)

func (o *route) copied() route {
	c := *o
	c.ObjectMeta = *o.ObjectMeta.DeepCopy()
	c.Spec.ParentRefs, c.Spec.Hostnames = slices.Clone(o.Spec.ParentRefs), slices.Clone(o.Spec.Hostnames)
	c.Status.Parents = slices.Clone(o.Status.Parents)
	for i := range c.Status.Parents {
		c.Status.Parents[i].Conditions = slices.Clone(c.Status.Parents[i].Conditions)
	}
	return c
}

// DeepCopyObject implements runtime.Object, as those that follow do.
func (o *HTTPRoute) DeepCopyObject() runtime.Object { return &HTTPRoute{o.copied()} }

func (o *TLSRoute) DeepCopyObject() runtime.Object { return &TLSRoute{o.copied()} }

func (o *GRPCRoute) DeepCopyObject() runtime.Object { return &GRPCRoute{o.copied()} }

func (o *HTTPRouteList) DeepCopyObject() runtime.Object {
	return &HTTPRouteList{copyList(o.customList, (*HTTPRoute).DeepCopyObject)}
}

func (o *TLSRouteList) DeepCopyObject() runtime.Object {
	return &TLSRouteList{copyList(o.customList, (*TLSRoute).DeepCopyObject)}
}

func (o *GRPCRouteList) DeepCopyObject() runtime.Object {
	return &GRPCRouteList{copyList(o.customList, (*GRPCRoute).DeepCopyObject)}
}

// Route is what is read of a route.
type Route struct {
	Key
	Version string
	Kind    string   // HTTPRoute, TLSRoute or GRPCRoute
	Names   []string // hostnames, in lower case; the first label may be *. None: those of the listeners
	Parents []Parent
}

// Parent is a Gateway that a route is attached to, or some of its listeners. It is comparable.
type Parent struct {
	Key
	Section string // the name of a listener; "" for all
	Port    int32  // of listeners; 0 for all
}

// Has reports whether a listener is of those that a route is attached to.
func (p *Parent) Has(l *Listener) bool {
	return (p.Section == "" || p.Section == l.Name) && (p.Port == 0 || p.Port == l.Port)
}

func stripHTTPRoute(o *HTTPRoute, s Selection) (*Route, []Problem) {
	return stripRoute(&o.route, "HTTPRoute", s)
}

func stripTLSRoute(o *TLSRoute, s Selection) (*Route, []Problem) {
	return stripRoute(&o.route, "TLSRoute", s)
}

func stripGRPCRoute(o *GRPCRoute, s Selection) (*Route, []Problem) {
	return stripRoute(&o.route, "GRPCRoute", s)
}

// stripRoute keeps what is read of a route; nil when no Gateway takes it, or when it has hostnames and none of them may
// be one that is served.
func stripRoute(o *route, kind string, selection Selection) (*Route, []Problem) {
	wrong := Problems{kind: strings.ToLower(kind), Key: KeyOf(o)}
	if ignored(o) {
		return nil, nil
	}
	r := &Route{Key: wrong.Key, Version: o.ResourceVersion, Kind: kind}
	for _, text := range o.Spec.Hostnames {
		if name, ok := lowerHost(text, &wrong); ok && selection.Hosts.mayServe(name) {
			r.Names = append(r.Names, name)
		}
	}
	for _, ref := range o.Spec.ParentRefs {
		if (ref.Group == "" || ref.Group == gatewayGroup) && (ref.Kind == "" || ref.Kind == "Gateway") && !o.refused(ref) {
			space := ref.Namespace
			if space == "" {
				space = o.Namespace
			}
			r.Parents = append(r.Parents, Parent{Key{space, ref.Name}, ref.SectionName, ref.Port})
		}
	}
	if len(r.Parents) == 0 || len(r.Names) == 0 && len(o.Spec.Hostnames) > 0 {
		return nil, wrong.List
	}
	return r, wrong.List
}

// refused reports whether controllers refuse to attach a route to a parent, and none accepts it. A route of which
// nothing has been said yet is taken.
func (o *route) refused(ref ParentRef) bool {
	refused := false
	for _, p := range o.Status.Parents {
		if p.ParentRef.in(o.Namespace) != ref.in(o.Namespace) {
			continue
		}
		for _, c := range p.Conditions {
			if c.Type == "Accepted" && c.Status == "True" {
				return false
			}
			refused = refused || c.Type == "Accepted" && c.Status == "False"
		}
	}
	return refused
}

// in is a reference with the defaults that it has in a namespace.
func (r ParentRef) in(namespace string) ParentRef {
	if r.Group == "" {
		r.Group = gatewayGroup
	}
	if r.Kind == "" {
		r.Kind = "Gateway"
	}
	if r.Namespace == "" {
		r.Namespace = namespace
	}
	return r
}

// lowerHost is a hostname in lower case; "" for none. The first label may be *.
func lowerHost(text string, wrong *Problems) (name string, ok bool) {
	name = strings.ToLower(text)
	if name != "" && !ValidName(strings.TrimPrefix(name, "*.")) {
		wrong.Add(text, "hostname %q is not a domain name")
		return "", false
	}
	return strings.Clone(name), true
}

// NamesAt are the names by which a listener takes requests for r: the hostnames that both have (Gateway API, hostnames
// of routes and listeners).
func (r *Route) NamesAt(l *Listener) (names []string) {
	if len(r.Names) == 0 && l.Host != "" {
		return []string{l.Host}
	}
	for _, name := range r.Names {
		if both := intersect(name, l.Host); both != "" {
			names = append(names, both)
		}
	}
	return names
}

// intersect is the narrower one of two hostnames when the wider one has it; "" when they have no name in common. A
// wildcard has names with any number of labels in the place of its *.
func intersect(a, b string) string {
	switch {
	case b == "" || a == b || covers(b, a):
		return a
	case covers(a, b):
		return b
	}
	return ""
}

// covers reports whether a wildcard has a name, or all names of another wildcard.
func covers(wildcard, name string) bool {
	suffix, ok := strings.CutPrefix(wildcard, "*")
	return ok && strings.HasSuffix(strings.TrimPrefix(name, "*"), suffix) && name != wildcard
}

// Size is about how many octets r takes; none if it is nil.
func (r *Route) Size() int {
	if r == nil {
		return 0
	}
	size := 256 + len(r.Name) + len(r.Namespace) + len(r.Version) + textsSize(r.Names)
	for i := range r.Parents {
		p := &r.Parents[i]
		size += 64 + len(p.Name) + len(p.Namespace) + len(p.Section)
	}
	return size
}

// About implements Object.
func (r *Route) About() (Key, string) { return r.Key, r.Version }
