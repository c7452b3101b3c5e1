package watch

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The names of the directive k8s_gateway: hosts of Ingresses, and load balancers. They are few, and names of several
// objects meet in one, so all of them are made anew when an object changes.

// hostsKinds are the kinds that must have been read before a name can be denied.
const hostsKinds = zones.Services | zones.Namespaces | zones.Ingresses

// publishHosts publishes the names of all objects, if they may have changed.
func (s *state) publishHosts(now time.Time) {
	if !s.options.Selection.Hosts || !s.hostsDirty || s.synced&hostsKinds != hostsKinds {
		return
	}
	s.hostsDirty = false
	n := s.compileHosts()
	n.Wildcards = true
	n.Serial = uint32(now.Unix())
	if old := s.index.Hosts.Names(); old != nil {
		n.Serial = max(n.Serial, old.Serial+1)
	}
	s.index.Hosts.Publish(n)
}

// hosts are names with what their objects of one resource are reached by.
type hosts map[string][]*object.Outside

func (s *state) compileHosts() *zones.Names {
	o := s.options.Hosts
	served := strings.Fields(o.Zones)
	all := map[string]hosts{"Ingress": {}, "Service": {}}
	for _, k := range sortedKeys(s.ingresses.byKey) {
		i := s.ingresses.byKey[k]
		if s.shows(k.Namespace) && (o.Classes == "" || slices.Contains(strings.Fields(o.Classes), i.Class)) {
			all["Ingress"].add(served, i.Names, &i.Outside)
		}
	}
	for _, k := range sortedKeys(s.services.byKey) {
		if out := s.services.byKey[k].Outside; out != nil && out.Type && s.shows(k.Namespace) {
			names := out.Names
			for _, zone := range served {
				if len(out.Names) == 0 {
					names = append(names, k.Name+"."+k.Namespace+"."+strings.TrimSuffix(zone, "."))
				}
			}
			all["Service"].add(served, names, out)
		}
	}
	nodes := map[string]*zones.NamesNode{}
	for resource := range strings.FieldsSeq(o.Resources) {
		for name, list := range all[resource] {
			if nodes[name] == nil {
				nodes[name] = hostNode(list, o.TTL)
			}
		}
	}
	for _, zone := range served {
		nameServers(nodes, zone, &o)
	}
	return zones.NewNames(nodes)
}

func sortedKeys[V any](m map[object.Key]V) []object.Key {
	return slices.SortedFunc(maps.Keys(m), func(a, b object.Key) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// add adds the names that are below one of the zones.
func (h hosts) add(served, names []string, out *object.Outside) {
	for _, text := range names {
		name, err := wire.ParseName(text)
		below := func(zone string) bool {
			apex, failed := wire.ParseName(zone)
			return failed == nil && wire.Within(name, apex)
		}
		if err == nil && slices.ContainsFunc(served, below) {
			h[string(name)] = append(h[string(name)], out)
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

// nameServers adds the NS records of a zone.
func nameServers(nodes map[string]*zones.NamesNode, zone string, o *Hosts) {
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
		if target, err := wire.ParseName(labels + "." + zone); labels != "" && err == nil {
			n.Add(wire.TypeNS, o.TTL, target)
		}
	}
}
