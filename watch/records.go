package watch

import (
	"fmt"
	"strings"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Here each section of the Kubernetes DNS-Based Service Discovery specification 1.1.0 is one function: object -> records.

// compile gives the records of a service with its slices, in the order of their names.
func compile(b *zones.Builder, s *service, slices []*slice, o Options) (*zones.Unit, error) {
	b.Start(s.namespace, s.name)
	ready, total := count(slices)
	switch {
	case s.flaw != flawless:
		b.Absent(s.says(s.flaw.String()))
	case s.externalName != "":
		externalName(b, s)
	case s.headless && o.NoEndpoints:
		b.Absent(s.says("headless, and endpoints are not read (kubernetes option noendpoints)"))
	case s.headless && ready == 0:
		b.Absent(s.says(fmt.Sprintf("0 of %d endpoints ready", total)))
	case s.headless:
		headless(b, slices, o)
		if o.Zonal {
			zonal(b, slices, o)
		}
	case len(s.clusterIPs) == 0:
		b.Absent(s.says("no cluster IP"))
	case o.IgnoreEmpty && ready == 0:
		b.Absent(s.says(fmt.Sprintf("0 of %d endpoints ready (kubernetes option ignore empty_service)", total)))
	default:
		clusterIP(b, s)
		endpoints(b, slices, o)
	}
	return b.Unit()
}

// says is a sentence about the service, for people.
func (s *service) says(what string) string {
	return "service " + s.namespace + "/" + s.name + ": " + what
}

func count(slices []*slice) (ready, total int) {
	unready := 0
	for _, sl := range slices {
		ready += sl.endpoints.count()
		unready += sl.unready
	}
	return ready, ready + unready
}

// clusterIP: Spec 2.3.1 A/AAAA, 2.3.2 SRV, 2.3.3 PTR. SRV at the bare name answers all ports, the unnamed too, as CoreDNS does.
func clusterIP(b *zones.Builder, s *service) {
	self := b.Name("")
	b.Reverse(self, true)
	for _, addr := range s.clusterIPs {
		b.Address(self, addr)
		for _, p := range s.ports {
			b.Pair(self, uint16(p.number), self)
		}
	}
	for _, p := range s.ports {
		if !p.named() {
			continue
		}
		owner := b.Name(p.owner())
		for _, addr := range s.clusterIPs {
			b.Address(owner, addr)
			b.Pair(owner, uint16(p.number), self)
		}
	}
}

// named reports whether SRV records can have the port's name: Spec 2.3.2 gives them to named ports only, and the underscore before the name
// needs room in the label.
func (p port) named() bool { return p.name != "" && len(p.name) < 63 }

// owner is the name of a port's SRV records below its service.
func (p port) owner() string { return "_" + p.name + "._" + strings.ToLower(p.protocol) }

// headless: Spec 2.4.1 A/AAAA of the service and of each hostname, 2.4.2 SRV, 2.4.3 PTR.
func headless(b *zones.Builder, slices []*slice, o Options) {
	self := b.Name("")
	endpoints(b, slices, o)
	for _, sl := range slices {
		for e := range sl.endpoints.each {
			host := b.Name(sl.host(&e, o))
			share(b, self, &e, sl.ports, host)
		}
		for _, p := range sl.ports {
			if !p.named() || sl.endpoints == "" {
				continue // no ready endpoint has the port: the name does not exist
			}
			owner := b.Name(p.owner())
			for e := range sl.endpoints.each {
				share(b, owner, &e, []port{p}, b.Name(sl.host(&e, o)))
			}
		}
	}
}

// zonal names the endpoints of each topology zone of a headless service, as CoreDNS's option zonal does: <zone>.pin._zone below it. The
// names for other zones, and those with prefer, are made when they are looked up (zones.findZonal).
func zonal(b *zones.Builder, slices []*slice, o Options) {
	b.Name("pin._zone")
	b.Name("prefer._zone")
	for _, sl := range slices {
		for e := range sl.endpoints.each {
			if e.zone != "" {
				share(b, b.Name(e.zone+".pin._zone"), &e, sl.ports, b.Name(sl.host(&e, o)))
			}
		}
	}
}

// endpoints gives each endpoint its own name: Spec 2.4.1 and 2.4.3 under headless services, and as CoreDNS does under the others.
func endpoints(b *zones.Builder, slices []*slice, o Options) {
	for _, sl := range slices {
		for e := range sl.endpoints.each {
			host := b.Name(sl.host(&e, o))
			b.Reverse(host, false)
			share(b, host, &e, sl.ports, host)
		}
	}
}

// share adds the address of e, and its ports as SRV records that point at host, to owner.
func share(b *zones.Builder, owner zones.Name, e *endpoint, ports []port, host zones.Name) {
	b.Address(owner, e.addr)
	if len(ports) == 0 {
		b.Portless(owner)
	}
	for _, p := range ports {
		if p.number < 0 {
			b.Portless(owner)
		} else {
			b.Pair(owner, uint16(p.number), host)
		}
	}
}

// host is the endpoint's name below its service: its hostname, else with endpoint_pod_names its pod's name, else its address with
// dashes. In a clusterset the cluster's id stands behind it.
func (sl *slice) host(e *endpoint, o Options) string {
	name := e.hostname
	switch {
	case name != "":
	case o.PodNames && e.pod != "":
		name = e.pod
	default:
		name = dashed(e)
	}
	if sl.cluster != "" {
		name += "." + sl.cluster
	}
	return name
}

// dashed is the address with dashes. A label must not end in one, so a trailing "::" gets a 0.
func dashed(e *endpoint) string {
	var text [64]byte
	name := e.addr.AppendTo(text[:0])
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
func externalName(b *zones.Builder, s *service) {
	target, err := wire.ParseName(s.externalName)
	if err != nil {
		b.Absent(s.says(misnamed.String()))
		return
	}
	b.Alias(b.Name(""), target)
}
