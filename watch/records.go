package watch

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Here each section of the Kubernetes DNS-Based Service Discovery specification 1.1.0 is one function: object ->
// records.

// errCombinations is said of slices that a service's records would take far more memory than.
var errCombinations = errors.New("its endpoints and ports make too many combinations")

// compile gives the records of a service with its slices, in the order of their names. Records without names may come
// with an error that says why.
func compile(b *zones.Builder, s *object.Service, slices []*object.Slice, o Options) (*zones.ServiceRecords, error) {
	b.Start(s.Namespace, s.Name)
	b.Limit(most(s, slices))
	if o.fronts(s.Key) {
		b.Front()
	}
	if o.Who {
		placed(b, s, slices, o)
	}
	ready, total := count(slices)
	switch {
	case s.Flaw != object.Flawless:
		b.NoNames(why(s, s.Flaw.String()))
	case s.ExternalName != "":
		externalName(b, s)
	case s.Headless && o.NoEndpoints:
		b.NoNames(why(s, "headless, and endpoints are not read (kubernetes option noendpoints)"))
	case s.Headless && ready == 0:
		b.NoNames(why(s, fmt.Sprintf("0 of %d endpoints ready%s", total, ofNames(slices))))
	case s.Headless:
		if s.Affine {
			affine(b, slices)
		}
		headless(b, slices, o, preferred(s, o))
		if o.Zonal {
			zonal(b, slices, o)
		}
	case len(s.ClusterIPs) == 0 && !o.ServiceImports: // an import may have its addresses later
		b.NoNames(why(s, "no cluster IP"))
	case o.IgnoreEmpty && ready == 0:
		b.NoNames(why(s, fmt.Sprintf("0 of %d endpoints ready (kubernetes option ignore empty_service)", total)))
	default:
		clusterIP(b, s)
		for _, sl := range slices {
			endpoints(b, sl, o, func(object.Endpoint, zones.Name) {})
		}
		if ready == 0 && o.knowsEndpoints(s.Key) {
			b.Unready(fmt.Sprintf("0 of %d endpoints ready%s", total, ofNames(slices)))
		}
	}
	r, err := b.Build()
	if errors.Is(err, zones.ErrTooLarge) {
		b.NoNames(why(s, errCombinations.Error()))
		r, _ = b.Build()
		return r, errCombinations
	}
	return r, err
}

// placed has the places of endpoints kept, and who asks though he is not ready.
func placed(b *zones.Builder, s *object.Service, slices []*object.Slice, o Options) {
	how := zones.NearestUnset
	if s.Headless && o.Nearest != zones.NearestUnset {
		how = cmp.Or(s.Nearest, o.Nearest)
	}
	b.Placed(how)
	for _, sl := range slices {
		for e := range sl.Endpoints.Asking() {
			b.Asking(e.Addr, e.Place)
		}
	}
}

// most is how many octets the combinations of a service's endpoints and ports may take: in proportion to what its
// objects take, so that nobody gets much memory for few objects. Combinations of real slices take less than the slices,
// since controllers put endpoints with equal ports together.
func most(s *object.Service, slices []*object.Slice) int {
	size := s.Size()
	for _, sl := range slices {
		size += sl.Size()
	}
	return 64<<10 + 16*size
}

// why is the reason of an absence, as a sentence.
func why(s *object.Service, reason string) string {
	return "service " + s.Namespace + "/" + s.Name + ": " + reason
}

// ofNames says why endpoints are missing that someone may have written as names.
func ofNames(list []*object.Slice) string {
	if slices.ContainsFunc(list, func(sl *object.Slice) bool { return sl.FQDN }) {
		return ", and slices of addressType FQDN are not served"
	}
	return ""
}

func count(slices []*object.Slice) (ready, total int) {
	unready := 0
	for _, sl := range slices {
		ready += sl.Endpoints.Count()
		unready += sl.Unready
	}
	return ready, ready + unready
}

// clusterIP: Spec 2.3.1 A/AAAA, 2.3.2 SRV, 2.3.3 PTR. SRV at the bare name answers all ports, the unnamed too, as
// CoreDNS does.
func clusterIP(b *zones.Builder, s *object.Service) {
	self := b.Name("")
	b.Reverse(self, true)
	virtual(b, s, self, s.Ports)
	for i, p := range s.Ports {
		if named(p) {
			virtual(b, s, b.Name(portName(p)), s.Ports[i:i+1])
		}
	}
}

// virtual gives owner the cluster IPs and, as SRV records, ports of a service.
func virtual(b *zones.Builder, s *object.Service, owner zones.Name, ports []object.Port) {
	list := numbers(b, ports, true)
	for _, addr := range s.ClusterIPs {
		b.Address(owner, addr)
		b.SRV(owner, b.Name(""), list)
	}
}

// numbers is the list of the numbers of ports, empty where no name has them. An address without ports counts once for
// weights, and so does a port without a number.
func numbers(b *zones.Builder, ports []object.Port, named bool) zones.Ports {
	var few [8]uint16
	list := few[:0]
	for _, p := range ports {
		if named && p.Number >= 0 {
			list = append(list, uint16(p.Number))
		}
	}
	return b.Ports(max(1, len(ports)), list...)
}

// named reports whether SRV records can have the port's name: Spec 2.3.2 gives them to named ports only, and the
// underscore before the name needs room in the label.
func named(p object.Port) bool { return p.Name != "" && len(p.Name) < 63 }

// portName is the name of a port's SRV records below its service.
func portName(p object.Port) string { return "_" + p.Name + "._" + strings.ToLower(p.Protocol) }

// preferred is the cluster whose endpoints come before those of others: of an import that says off it is none, and any other
// word of its annotation means the own one.
func preferred(s *object.Service, o Options) string {
	if s.Nearest == zones.NearestOff || o.ClusterOff && s.Nearest == zones.NearestUnset {
		return ""
	}
	return o.Cluster
}

// headless: Spec 2.4.1 A/AAAA of the service and of each hostname, 2.4.2 SRV, 2.4.3 PTR.
func headless(b *zones.Builder, slices []*object.Slice, o Options, cluster string) {
	self, home := b.Name(""), homeOf(slices, cluster)
	for _, sl := range slices {
		if sl.Endpoints.None() {
			continue // no ready endpoint has the ports: their names do not exist
		}
		group := b.Group()
		endpoints(b, sl, o, func(e object.Endpoint, host zones.Name) { b.Member(group, host, e.Addr, e.Place) })
		if home.gives(sl, "") {
			b.Share(self, group, numbers(b, sl.Ports, !sl.Nameless))
		}
		for i, p := range sl.Ports {
			if named(p) && home.gives(sl, portName(p)) {
				b.Share(b.Name(portName(p)), group, numbers(b, sl.Ports[i:i+1], !sl.Nameless))
			}
		}
	}
}

// home is where the client's own cluster has ready endpoints of a headless import, so that those of other clusters are
// not given (option cluster_id). All clients are in that cluster, so the choice is made once, in the records. It is made
// for each name and family of addresses, since a client finds nothing in what its own cluster does not have.
type home struct {
	cluster string // "" for none: all clusters count alike
	has     map[homeName]bool
}

// homeName is the service's own name, which is "", or that of a port below it.
type homeName struct {
	name string
	v4   bool
}

func homeOf(slices []*object.Slice, cluster string) home {
	h := home{cluster: cluster}
	if cluster == "" {
		return h
	}
	h.has = map[homeName]bool{}
	for _, sl := range slices {
		if sl.Cluster != cluster || sl.Endpoints.None() {
			continue
		}
		v4 := sl.Endpoints.V4()
		h.has[homeName{"", v4}] = true
		for _, p := range sl.Ports {
			if named(p) {
				h.has[homeName{portName(p), v4}] = true
			}
		}
	}
	return h
}

// gives reports whether clients get the endpoints of a slice, which has some, at a name.
func (h home) gives(sl *object.Slice, name string) bool {
	return h.cluster == "" || sl.Cluster == h.cluster || !h.has[homeName{name, sl.Endpoints.V4()}]
}

// affine says which addresses are of one pod: it comes first for a client with both.
func affine(b *zones.Builder, slices []*object.Slice) {
	b.Affine()
	v4 := map[string]netip.Addr{}
	for _, sl := range slices {
		for e := range sl.Endpoints.All {
			if old, ok := v4[e.Pair]; e.Addr.Is4() && e.Pair != "" && (!ok || e.Addr.Less(old)) {
				v4[e.Pair] = e.Addr
			}
		}
	}
	for _, sl := range slices {
		for e := range sl.Endpoints.All {
			if twin, ok := v4[e.Pair]; ok && e.Addr.Is6() {
				b.Twin(e.Addr, twin)
			}
		}
	}
}

// zonal names the endpoints of each topology zone of a headless service, as CoreDNS's option zonal does:
// <zone>.pin._zone below it. The names for other zones, and those with prefer, are made when they are looked up
// (zones.findZonal).
func zonal(b *zones.Builder, slices []*object.Slice, o Options) {
	b.Name("pin._zone")
	b.Name("prefer._zone")
	for _, sl := range slices {
		groups := map[string]zones.Group{}
		for e := range sl.Endpoints.All {
			if e.Zone == "" {
				continue
			}
			group, ok := groups[e.Zone]
			if !ok {
				group = b.Group()
				groups[e.Zone] = group
			}
			b.Member(group, host(b, sl, &e, o), e.Addr, e.Place)
		}
		for zone, group := range groups {
			b.Share(b.Name(zone+".pin._zone"), group, numbers(b, sl.Ports, !sl.Nameless))
		}
	}
}

// endpoints gives each endpoint of a slice its own name, if it may have one, and calls each with it: Spec 2.4.1 and 2.4.3
// under headless services, and as CoreDNS does under the others.
func endpoints(b *zones.Builder, sl *object.Slice, o Options, each func(e object.Endpoint, host zones.Name)) {
	ports := numbers(b, sl.Ports, true)
	for e := range sl.Endpoints.All {
		host := host(b, sl, &e, o)
		if !sl.Nameless {
			b.Reverse(host, false)
			b.AddressAt(host, e.Addr, e.Place)
			b.SRV(host, host, ports)
		}
		each(e, host)
	}
}

// host is the name of an endpoint. One without a name is at the service's own, where no SRV record points.
func host(b *zones.Builder, sl *object.Slice, e *object.Endpoint, o Options) zones.Name {
	if sl.Nameless {
		return b.Name("")
	}
	var text [128]byte
	return b.Name(string(appendHostName(text[:0], sl, e, o)))
}

// appendHostName appends the endpoint's name below its service: its hostname, else with endpoint_pod_names its pod's name,
// else its address with dashes. In a clusterset the cluster's id stands behind it.
func appendHostName(name []byte, sl *object.Slice, e *object.Endpoint, o Options) []byte {
	switch {
	case e.Hostname != "":
		name = append(name, e.Hostname...)
	case o.PodNames && e.Pod != "":
		name = append(name, e.Pod...)
	default:
		name = appendDashed(name, e)
	}
	if sl.Cluster != "" {
		name = append(append(name, '.'), sl.Cluster...)
	}
	return name
}

// appendDashed appends the address with dashes to name, which is empty. A label must not end in one, so a trailing "::" gets
// a 0.
func appendDashed(name []byte, e *object.Endpoint) []byte {
	name = e.Addr.AppendTo(name)
	for i, c := range name {
		if c == '.' || c == ':' {
			name[i] = '-'
		}
	}
	if name[len(name)-1] == '-' {
		name = append(name, '0')
	}
	return name
}

// externalName: Spec 2.5 CNAME.
func externalName(b *zones.Builder, s *object.Service) {
	target, err := wire.ParseName(s.ExternalName)
	if err != nil {
		b.NoNames(why(s, object.Misnamed.String()))
		return
	}
	b.Alias(b.Name(""), target)
}
