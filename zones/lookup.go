package zones

import (
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// Outcome is what a lookup found.
type Outcome uint8

// The outcomes.
const (
	Missing    Outcome = iota // NXDOMAIN; Match.Why says why
	Found                     // Match.Node has the records; a type it lacks is NODATA
	Empty                     // the name exists and has no records: an empty non-terminal
	Apex                      // the zone's own name
	NameServer                // ns.dns.<zone>
	Version                   // dns-version.<zone>
	Pod                       // a pod's address, synthesized: Match.Addr
	Unsynced                  // objects that could make the name exist have not been read yet
)

// Why says why a name is missing.
type Why uint8

// The reasons.
const (
	NotAName         Why = iota // no name in a cluster zone has this form
	NoNamespace                 // Match.Namespace
	NoService                   // Match.Namespace, Match.Service
	NoNames                     // the service has no names; Match.Node.Service().Why() says why
	NoEndpoint                  // the service has no such endpoint or port
	PodsOff                     // option `pods disabled`
	NoPod                       // no live pod has the address
	NotAnAddress                // not a dashed address
	NoAddress                   // no service or endpoint has the address of the reverse name
	NoExternal                  // the service has no address outside the cluster (directive k8s_external)
	OverBudget                  // not all of Match.Namespace is known: it takes more memory than its budget
	RefusedNamespace            // Match.Namespace is called like a top-level domain, and has no names
)

// Match is what a lookup found.
type Match struct {
	Outcome   Outcome
	Why       Why
	Node      Node
	Addr      netip.Addr // of a Pod
	Namespace []byte     // a label in wire form; points into the name that was looked up
	Service   []byte     // likewise

	// scratch is for building keys. A key on the stack would escape through the trie.
	scratch [2 * 64]byte
}

// Labels of a cluster zone, in wire form.
const (
	labelSvc     = "\x03svc"
	labelPod     = "\x03pod"
	labelDNS     = "\x03dns"
	labelNS      = "\x02ns"
	labelVersion = "\x0bdns-version"
	labelZone    = "\x05_zone"
	labelPin     = "\x03pin"
	labelPrefer  = "\x06prefer"
)

// Lookup finds name in s and stores the result in m. The last zone labels of name are a cluster zone. It allocates
// nothing.
func (s *Snapshot) Lookup(m *Match, name *wire.QName, zone int, pods Pods) {
	*m = Match{}
	below := name.Labels() - zone
	if below == 0 {
		m.Outcome = Apex
		return
	}
	switch top := string(name.Between(below-1, below)); {
	case top == labelSvc:
		s.lookupService(m, name, below-1)
	case top == labelPod:
		s.lookupPod(m, name, below-1, pods)
	case top == labelVersion && below == 1:
		m.Outcome = Version
	case top == labelDNS && below == 1:
		m.Outcome = Empty
	case top == labelDNS && below == 2 && string(name.Between(0, 1)) == labelNS:
		m.Outcome = NameServer
	}
}

// lookupService looks up the first below labels of name, which are below svc.<zone>: [[names.]service.]namespace.
func (s *Snapshot) lookupService(m *Match, name *wire.QName, below int) {
	switch {
	case below == 0:
		m.Outcome = Empty
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
	service := s.services.get(name.Between(below-2, below))
	if service == nil {
		s.noService(m)
		return
	}
	m.Node.service = service
	switch {
	case service.nameless():
		m.Why = NoNames
	case service.find(&m.Node, name.Between(0, below-2)),
		service.findPort(&m.Node, name, below-2),
		service.findZonal(m, name, below-2):
		m.Outcome = Found
	default:
		m.Why = NoEndpoint
	}
	if m.Outcome == Missing {
		if n := s.namespaces.get(m.Namespace); n != nil && n.over {
			m.Why = OverBudget
		}
	}
}

// noService says why there is no service. Where something of a namespace was left out, it may have been the service.
func (s *Snapshot) noService(m *Match) {
	switch n := s.namespaces.get(m.Namespace); {
	case !n.exists():
		m.Why = n.missing()
	case n.over:
		m.Why = OverBudget
	default:
		m.Why = NoService
	}
}

func (s *Snapshot) lookupNamespace(m *Match) {
	if n := s.namespaces.get(m.Namespace); n.exists() {
		m.Outcome = Empty
	} else {
		m.Why = n.missing()
	}
}

// missing says why a namespace does not exist.
func (n *namespace) missing() Why {
	if n.isRefused() {
		return RefusedNamespace
	}
	return NoNamespace
}

// findPort finds port.protocol below a service. Queries may omit the underscore of either label: the node is that of
// _port._protocol, and its parent exists without the underscore too.
func (r *ServiceRecords) findPort(n *Node, name *wire.QName, below int) bool {
	if below > 2 {
		return false
	}
	var full [2 * 65]byte
	size := 0
	for i := range below {
		label := name.Label(i)
		if label[0] == '_' {
			label = label[1:]
		}
		if len(label) > 62 {
			return false
		}
		full[size], full[size+1] = byte(len(label)+1), '_'
		size += 2 + copy(full[size+2:], label)
	}
	return string(full[:size]) != labelZone && r.find(n, full[:size]) // _zone is not a protocol
}

// findZonal finds <zone>.pin._zone and <zone>.prefer._zone below a headless service with zonal names; <zone> may be
// several labels. A zone without endpoints exists: pin gives it no records, prefer all endpoints.
func (r *ServiceRecords) findZonal(m *Match, name *wire.QName, below int) bool {
	if below < 3 {
		return false
	}
	if top := name.Between(below-1, below); string(top) != labelZone || !r.find(&m.Node, top) {
		return false
	}
	directive := string(name.Between(below-2, below-1))
	if directive != labelPin && directive != labelPrefer {
		return false
	}
	size := copy(m.scratch[:], name.Between(0, below-2))
	if size > len(m.scratch)-len(labelPin+labelZone) {
		size = 0 // longer than any zone: the value of a Kubernetes label has at most 63 characters
	}
	size += copy(m.scratch[size:], labelPin+labelZone)
	switch {
	case r.find(&m.Node, m.scratch[:size]) && !m.Node.Empty():
	case directive == labelPrefer:
		r.find(&m.Node, nil)
	default:
		m.Node = Node{service: r}
	}
	return true
}

// lookupPod looks up the first below labels of name, which are below pod.<zone>: [address.]namespace.
func (s *Snapshot) lookupPod(m *Match, name *wire.QName, below int, pods Pods) {
	if below == 0 {
		m.Outcome = Empty
		return
	}
	if below > 2 {
		return
	}
	if pods == PodsDisabled {
		m.Why = PodsOff
		return
	}
	if !s.Synced(Namespaces) || pods == PodsVerified && !s.Synced(PodObjects) {
		m.Outcome = Unsynced
		return
	}
	m.Namespace = name.Between(below-1, below)
	if s.lookupNamespace(m); m.Outcome != Empty || below == 1 {
		return
	}
	m.Outcome = Missing
	addr, ok := dashed(name.Label(0))
	switch {
	case !ok:
		m.Why = NotAnAddress
	case pods == PodsVerified && !s.hasPod(m, addr):
		m.Why = NoPod
	default:
		m.Outcome, m.Addr = Pod, addr
	}
}
