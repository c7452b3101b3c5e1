package zones

import "github.com/clusterdns/clusterdns/zones/wire"

// An external zone (directive k8s_external) has the names <service>.<namespace>.<zone> of services that clients outside
// the cluster reach: by the addresses or names of their load balancers, by external IPs, or by those of their endpoints.

// External is an external zone as a lookup needs it.
type External struct {
	Labels   int    // of the zone's name
	Apex     string // labels in wire form, no root label: <apex>.<zone> is above the name server ns1.<apex>.<zone>
	Headless bool   // it has the names of headless services
}

const labelNS1 = "\x03ns1"

// LookupExternal finds name in s and stores the result in m. It allocates nothing.
func (s *Snapshot) LookupExternal(m *Match, name *wire.QName, zone *External) {
	*m = Match{}
	below := name.Labels() - zone.Labels
	switch {
	case below == 0:
		m.Outcome = Apex
		return
	case isSuffix(zone.Apex, name.Between(0, below)):
		m.Outcome = Empty
		return
	case below > 1 && string(name.Between(0, 1)) == labelNS1 && string(name.Between(1, below)) == zone.Apex:
		m.Outcome = NameServer
		return
	case !s.Synced(ServiceKinds):
		m.Outcome = Unsynced
		return
	}
	m.Namespace = name.Between(below-1, below)
	if below == 1 {
		s.lookupNamespace(m)
		return
	}
	m.Service = name.Between(below-2, below-1)
	owner := name.Between(below-2, below)
	service := s.externals.get(owner)
	if service == nil {
		if m.Why = NoExternal; s.services.get(owner) == nil {
			s.noService(m)
		}
		return
	}
	if service.nameless() {
		m.Why, m.Node.service = NoNames, service
		return
	}
	found := service.find(&m.Node, name.Between(0, below-2)) || service.findPort(&m.Node, name, below-2)
	switch {
	case found && m.Node.flags&flagHeadless != 0 && !zone.Headless:
		m.Why = NoExternal
	case found:
		m.Outcome = Found
	default:
		m.Why = NoEndpoint
	}
}

// isSuffix reports whether name, labels in wire form, is the end of labels, from one of them on.
func isSuffix(labels string, name []byte) bool {
	for at := 0; at < len(labels); at += 1 + int(labels[at]) {
		if labels[at:] == string(name) {
			return true
		}
	}
	return false
}

// External finds the addresses that clients outside the cluster reach a service by.
func (s *Snapshot) External(n *Node, owner string) bool {
	service := s.externals.get([]byte(owner))
	return service != nil && service.find(n, nil) && n.flags&flagHeadless == 0
}

// SetExternal replaces the external records of the service with r's owner, and returns by how many octets these have
// grown. It takes ownership of r.
func (tx *Tx) SetExternal(r *ServiceRecords) int {
	old := tx.snap.externals.get([]byte(r.owner))
	if old != nil && old.equal(r) {
		return 0
	}
	tx.changed = true
	tx.snap.externals = tx.snap.externals.put(r, tx.edit)
	if old != nil {
		return r.Size() - old.Size()
	}
	return r.Size()
}

// DropExternal removes the external records of a service, and returns how many octets they took.
func (tx *Tx) DropExternal(namespace, service string) int {
	if tx.snap.externals.size == 0 {
		return 0
	}
	owner, err := wire.ParseName(service + "." + namespace)
	if err != nil {
		return 0
	}
	owner = owner[:len(owner)-1]
	old := tx.snap.externals.get(owner)
	if old == nil {
		return 0
	}
	tx.changed = true
	tx.snap.externals = tx.snap.externals.drop(owner, tx.edit)
	return old.Size()
}

// ExternalSize is how many octets the external records of a service take, 0 if there are none.
func (tx *Tx) ExternalSize(owner string) int {
	if r := tx.snap.externals.get([]byte(owner)); r != nil {
		return r.Size()
	}
	return 0
}
