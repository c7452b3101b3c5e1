package watch

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The names of the directive k8s_gateway: hosts of Ingresses, of routes, and load balancers. They are few, and names of
// several objects meet in one, so all of them are made anew when an object changes.

// hostsShare is how much of the time may go into making these names, one part of so many: a tenant that changes an object
// without pause would otherwise take a processor where there are thousands of them. What takes less than hostsAtOnce is
// made at once, which is for some hundred objects.
const (
	hostsShare  = 10
	hostsAtOnce = 5 * time.Millisecond
)

// publishHosts publishes the names of all objects, if they have changed.
func (s *state) publishHosts(now time.Time) {
	kinds := s.options.hostsKinds()
	if kinds != 0 && s.visible()&kinds != kinds && s.index.Hosts.Names() != nil {
		s.index.Hosts.Publish(nil) // they were of a file that is refused
	}
	if kinds == 0 || !s.hostsDirty || s.visible()&kinds != kinds {
		return
	}
	if s.hostsPutOff = now.Before(s.hostsNext); s.hostsPutOff {
		return
	}
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > hostsAtOnce {
			s.hostsNext = now.Add(hostsShare * took)
		}
	}()
	s.hostsDirty = false
	n, old := s.compileHosts(), s.index.Hosts.Names()
	n.Wildcards = true
	n.Serial = uint32(now.Unix())
	if old != nil {
		if n.Equal(old) {
			return
		}
		n.Serial = max(n.Serial, old.Serial+1)
	}
	s.index.Hosts.Publish(n)
}

// hostsWait is how long names that were put off have to wait, 0 when none were: the time may be over by now.
func (s *state) hostsWait(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hostsPutOff {
		return 0
	}
	return max(1, s.hostsNext.Sub(now))
}

// hosts are names in wire form with what their objects of one resource are reached by.
type hosts map[string][]*object.Outside

func (s *state) compileHosts() *zones.Names {
	o := &s.options.Hosts
	nodes := map[string]*zones.NamesNode{}
	for resource := range strings.FieldsSeq(o.Resources) {
		for name, node := range s.nodesOf(resource) {
			if nodes[name] == nil {
				nodes[name] = node
			}
		}
	}
	for zone := range strings.FieldsSeq(o.Zones) {
		s.nameServers(nodes, zone)
	}
	return zones.NewNames(nodes)
}

// nodesOf are the names and records of the objects of a resource.
func (s *state) nodesOf(resource string) map[string]*zones.NamesNode {
	nodes := map[string]*zones.NamesNode{}
	if resource == "DNSEndpoint" {
		for _, k := range s.shown(s.records) {
			for _, set := range s.records.byKey[k].Sets {
				addRecords(nodes, &set, s.options.Hosts.TTL)
			}
		}
		for _, n := range nodes {
			if len(n.RRsets) > 0 {
				n.Alias = ""
			}
		}
		return nodes
	}
	for name, list := range s.hostsOf(resource) {
		nodes[name] = hostNode(list, s.options.Hosts.TTL)
	}
	return nodes
}

// mostRecords is how many records DNSEndpoints can give a name: more than a reply over UDP holds.
const mostRecords = 256

// addRecords adds the records of a set to those that its name has. An alias stands alone: with other records it is left
// out (RFC 1034 section 3.6.2), and of two the first counts.
func addRecords(nodes map[string]*zones.NamesNode, set *object.RecordSet, ttl uint32) {
	name, err := wire.ParseName(set.DNSName)
	if err != nil {
		return
	}
	n := nodes[string(name)]
	if n == nil {
		n = &zones.NamesNode{}
		nodes[string(name)] = n
	}
	if set.RecordTTL > 0 {
		ttl = uint32(set.RecordTTL)
	}
	for _, text := range set.Targets {
		if n.Count() >= mostRecords {
			return
		}
		addr, _ := netip.ParseAddr(text)
		switch set.RecordType {
		case "A":
			n.Add(wire.TypeA, ttl, addr.AsSlice())
		case "AAAA":
			n.Add(wire.TypeAAAA, ttl, addr.AsSlice())
		case "TXT":
			n.Add(wire.TypeTXT, ttl, zones.Text(text))
		case "CNAME":
			if target, err := wire.ParseName(text); err == nil && n.Alias == "" {
				n.Alias, n.AliasTTL = string(target), ttl
			}
		}
	}
}

// hostsOf are the names that objects of a resource have, in the order of the objects' names.
func (s *state) hostsOf(resource string) hosts {
	h := hosts{}
	switch resource {
	case "Ingress":
		for _, k := range s.shown(s.ingresses) {
			i := s.ingresses.byKey[k]
			h.add(i.Names, &i.Outside)
		}
	case "Service":
		s.addLoadBalancers(h)
	default:
		for _, k := range s.shown(s.routes[resource]) {
			s.addRoute(h, s.routes[resource].byKey[k])
		}
	}
	return h
}

// addLoadBalancers adds the names of services.
func (s *state) addLoadBalancers(h hosts) {
	for _, k := range s.shown(s.services) {
		out := s.services.byKey[k].Outside
		if out == nil || !out.Balanced {
			continue
		}
		names := out.Names
		for zone := range strings.FieldsSeq(s.options.Hosts.Zones) {
			if !out.Named {
				names = append(names, k.Name+"."+k.Namespace+"."+strings.TrimSuffix(zone, "."))
			}
		}
		h.add(names, out)
	}
}

// addRoute adds the names by which listeners of its Gateways take requests for a route.
func (s *state) addRoute(h hosts, r *object.Route) {
	for i := range r.Parents {
		p := &r.Parents[i]
		g := s.gateways.byKey[p.Key]
		if g == nil {
			continue
		}
		for j := range g.Listeners {
			l := &g.Listeners[j]
			if p.Has(l) && l.Takes(r.Kind) {
				names := slices.DeleteFunc(r.NamesAt(l), func(name string) bool { return !s.options.Hosts.Serves(name) })
				h.add(names, &g.Outside)
			}
		}
	}
}

// shown are the keys of the objects whose namespace is shown, sorted.
func (s *state) shown(all objects) []object.Key {
	return slices.SortedFunc(func(yield func(object.Key) bool) {
		for k := range all.keys() {
			if s.shows(k.Namespace) && !yield(k) {
				return
			}
		}
	}, func(a, b object.Key) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// mostOutside is how many objects' addresses a name has: more than a reply holds, and names of many objects would take
// the time of all of them.
const mostOutside = 64

// add adds what names are reached by, once.
func (h hosts) add(names []string, out *object.Outside) {
	for _, text := range names {
		name, err := wire.ParseName(text)
		if list := h[string(name)]; err == nil && len(list) < mostOutside && !slices.Contains(list, out) {
			h[string(name)] = append(list, out)
		}
	}
}

// hostNode has the addresses of all objects of a name; without one it is an alias of the first host.
func hostNode(list []*object.Outside, ttl uint32) *zones.NamesNode {
	n := &zones.NamesNode{}
	for _, out := range list {
		for _, addr := range out.Addrs {
			t := wire.TypeA
			if addr.Is6() {
				t = wire.TypeAAAA
			}
			n.Add(t, ttl, addr.AsSlice())
		}
	}
	for _, out := range list {
		if len(n.RRsets) > 0 || len(out.Hosts) == 0 {
			continue
		}
		if target, err := wire.ParseName(out.Hosts[0]); err == nil {
			n.Alias, n.AliasTTL = string(target), ttl
			break
		}
	}
	return n
}

// nameServers adds the NS records of a zone, and the addresses of the services that they name, whatever resources names
// come from.
func (s *state) nameServers(nodes map[string]*zones.NamesNode, zone string) {
	o := &s.options.Hosts
	apex, err := wire.ParseName(zone)
	if err != nil {
		return
	}
	n := nodes[string(apex)]
	if n == nil {
		n = &zones.NamesNode{}
		nodes[string(apex)] = n
	}
	n.Alias = "" // the apex has an SOA record (RFC 1034 section 3.6.2)
	for _, labels := range []string{o.NameServer, o.Secondary} {
		target, err := wire.ParseName(labels + "." + zone)
		if labels == "" || err != nil {
			continue
		}
		n.Add(wire.TypeNS, o.TTL, target)
		name, namespace, _ := strings.Cut(labels, ".")
		service := s.services.byKey[object.Key{Namespace: namespace, Name: name}]
		if nodes[string(target)] == nil && service != nil && service.Outside != nil {
			nodes[string(target)] = hostNode([]*object.Outside{service.Outside}, o.TTL)
		}
	}
}
