package watch

import (
	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The names of external zones (directive k8s_external), which no specification has: they are those that CoreDNS makes.

// compileExternal gives the records that a service has outside the cluster; nil for none.
func compileExternal(
	b *zones.Builder, s *object.Service, slices []*object.Slice, o Options,
) (*zones.ServiceRecords, error) {
	b.Start(s.Namespace, s.Name)
	b.Limit(most(s, slices))
	ready, _ := count(slices)
	switch {
	case s.Outside != nil:
		outside(b, s)
	case s.Headless && s.Flaw == object.Flawless && o.ExternalHeadless && ready > 0:
		b.Headless()
		headless(b, slices, o, "")
	default:
		return nil, nil
	}
	return b.Build()
}

// outside gives a service and each of its named ports its addresses outside the cluster and SRV records. A service whose
// load balancers have names only is an alias of the first one (RFC 2181 section 10.1); SRV records point to the names
// themselves, since their target must not be an alias (RFC 2782).
func outside(b *zones.Builder, s *object.Service) {
	self := b.Name("")
	reachable(b, s, self, s.Ports)
	for i, p := range s.Ports {
		if named(p) {
			reachable(b, s, b.Name(portName(p)), s.Ports[i:i+1])
		}
	}
	if len(s.Outside.Addrs) > 0 {
		return
	}
	if target, err := wire.ParseName(s.Outside.Hosts[0]); err == nil {
		b.Alias(self, target)
	}
}

func reachable(b *zones.Builder, s *object.Service, owner zones.Name, ports []object.Port) {
	list := numbers(b, ports, true)
	for _, addr := range s.Outside.Addrs {
		b.Address(owner, addr)
		b.SRV(owner, b.Name(""), list)
	}
	for _, host := range s.Outside.Hosts {
		if target, err := wire.ParseName(host); err == nil {
			b.SRV(owner, b.Host(target), list)
		}
	}
}
