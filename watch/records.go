package watch

import (
	"fmt"
	"strings"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Here each section of the Kubernetes DNS-Based Service Discovery specification 1.1.0 is one function: object ->
// records.

// compile gives the records of a service with its slices, in the order of their names.
func compile(b *zones.Builder, s *object.Service, slices []*object.Slice, o Options) (*zones.ServiceRecords, error) {
	b.Start(s.Namespace, s.Name)
	ready, total := count(slices)
	switch {
	case s.Flaw != object.Flawless:
		b.NoNames(why(s, s.Flaw.String()))
	case s.ExternalName != "":
		externalName(b, s)
	case s.Headless && o.NoEndpoints:
		b.NoNames(why(s, "headless, and endpoints are not read (kubernetes option noendpoints)"))
	case s.Headless && ready == 0:
		b.NoNames(why(s, fmt.Sprintf("0 of %d endpoints ready", total)))
	case s.Headless:
		headless(b, slices, o)
		if o.Zonal {
			zonal(b, slices, o)
		}
	case len(s.ClusterIPs) == 0 && !o.ServiceImports: // an import may have its addresses later
		b.NoNames(why(s, "no cluster IP"))
	case o.IgnoreEmpty && ready == 0:
		b.NoNames(why(s, fmt.Sprintf("0 of %d endpoints ready (kubernetes option ignore empty_service)", total)))
	default:
		clusterIP(b, s)
		endpoints(b, slices, o)
	}
	return b.Build()
}

// why is the reason of an absence, as a sentence.
func why(s *object.Service, reason string) string {
	return "service " + s.Namespace + "/" + s.Name + ": " + reason
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
	for _, addr := range s.ClusterIPs {
		b.Address(self, addr)
		for _, p := range s.Ports {
			b.SRV(self, uint16(p.Number), self)
		}
	}
	for _, p := range s.Ports {
		if !named(p) {
			continue
		}
		owner := b.Name(portName(p))
		for _, addr := range s.ClusterIPs {
			b.Address(owner, addr)
			b.SRV(owner, uint16(p.Number), self)
		}
	}
}

// named reports whether SRV records can have the port's name: Spec 2.3.2 gives them to named ports only, and the
// underscore before the name needs room in the label.
func named(p object.Port) bool { return p.Name != "" && len(p.Name) < 63 }

// portName is the name of a port's SRV records below its service.
func portName(p object.Port) string { return "_" + p.Name + "._" + strings.ToLower(p.Protocol) }

// headless: Spec 2.4.1 A/AAAA of the service and of each hostname, 2.4.2 SRV, 2.4.3 PTR.
func headless(b *zones.Builder, slices []*object.Slice, o Options) {
	self := b.Name("")
	endpoints(b, slices, o)
	for _, sl := range slices {
		for e := range sl.Endpoints.All {
			share(b, self, &e, sl.Ports, host(b, sl, &e, o))
		}
		for _, p := range sl.Ports {
			if !named(p) || sl.Endpoints == "" {
				continue // no ready endpoint has the port: the name does not exist
			}
			owner := b.Name(portName(p))
			for e := range sl.Endpoints.All {
				share(b, owner, &e, []object.Port{p}, host(b, sl, &e, o))
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
		for e := range sl.Endpoints.All {
			if e.Zone != "" {
				share(b, b.Name(e.Zone+".pin._zone"), &e, sl.Ports, host(b, sl, &e, o))
			}
		}
	}
}

// endpoints gives each endpoint its own name: Spec 2.4.1 and 2.4.3 under headless services, and as CoreDNS does under
// the others.
func endpoints(b *zones.Builder, slices []*object.Slice, o Options) {
	for _, sl := range slices {
		if sl.Nameless {
			continue
		}
		for e := range sl.Endpoints.All {
			host := host(b, sl, &e, o)
			b.Reverse(host, false)
			share(b, host, &e, sl.Ports, host)
		}
	}
}

// nowhere is the host of an endpoint without a name.
const nowhere zones.Name = -1

func host(b *zones.Builder, sl *object.Slice, e *object.Endpoint, o Options) zones.Name {
	if sl.Nameless {
		return nowhere
	}
	return b.Name(hostName(sl, e, o))
}

// share adds the address of e, and its ports as SRV records that point at host, to owner.
func share(b *zones.Builder, owner zones.Name, e *object.Endpoint, ports []object.Port, host zones.Name) {
	b.Address(owner, e.Addr)
	if len(ports) == 0 {
		b.Endpoint(owner)
	}
	for _, p := range ports {
		if p.Number < 0 || host == nowhere {
			b.Endpoint(owner)
		} else {
			b.SRV(owner, uint16(p.Number), host)
		}
	}
}

// hostName is the endpoint's name below its service: its hostname, else with endpoint_pod_names its pod's name, else
// its address with dashes. In a clusterset the cluster's id stands behind it.
func hostName(sl *object.Slice, e *object.Endpoint, o Options) string {
	name := e.Hostname
	switch {
	case name != "":
	case o.PodNames && e.Pod != "":
		name = e.Pod
	default:
		name = dashed(e)
	}
	if sl.Cluster != "" {
		name += "." + sl.Cluster
	}
	return name
}

// dashed is the address with dashes. A label must not end in one, so a trailing "::" gets a 0.
func dashed(e *object.Endpoint) string {
	var text [64]byte
	name := e.Addr.AppendTo(text[:0])
	for i, c := range name {
		if c == '.' || c == ':' {
			name[i] = '-'
		}
	}
	if name[len(name)-1] == '-' {
		name = append(name, '0')
	}
	return string(name)
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
