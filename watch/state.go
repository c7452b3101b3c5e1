package watch

import (
	"cmp"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/watch/manifests"
	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// state is the stripped objects of one source, and the index they are compiled into. Sources change objects and mark
// services dirty; one publisher compiles what is dirty. The work is level-triggered: a service is always compiled whole
// from the objects as they are.
type state struct {
	options    Options
	log        *slog.Logger
	index      *zones.Index
	exposed    map[string]bool // namespaces; nil for all
	selector   labels.Selector // on namespaces; nil for all
	visibility []visibilityRule
	wake       chan struct{} // holds one token while something is dirty
	listed     chan struct{} // holds one token after a whole list has been taken, and after much has been compiled
	started    time.Time

	mu          sync.Mutex
	services    *collection[*object.Service]
	slices      *collection[*object.Slice]
	byService   map[object.Key][]*object.Slice // in the order of their names
	namespaces  *collection[*object.Namespace]
	pods        *collection[*object.Pod]
	ingresses   *collection[*object.Ingress]
	gateways    *collection[*object.KeptGateway]
	routes      map[string]*collection[*object.Route] // by kind
	records     *collection[*object.Records]
	nodes       *collection[*object.Node]
	hostsDirty  bool
	hostsNext   time.Time               // the names of hosts are not made anew before
	hostsPutOff bool                    // they were to be, and wait for it
	kinds       map[zones.Kinds]objects // these collections
	dirty       map[object.Key]struct{} // services to compile
	dirtySpace  map[string]struct{}     // namespaces to look at again
	dirtyPods   []podChange
	dirtyNodes  []nodeChange
	claims      map[zones.Claim]int // of clients' addresses: how many more there are
	synced      zones.Kinds
	complaints  complaints
	toplevel    *toplevel

	restored     zones.Kinds // held from a file since the start; see restoring.go
	showRestored bool        // these are answered from
	stale        string      // what answers say then
	serial       uint32      // of the file, from which the index is to go on; 0 for none
	snapshots    *snapshots  // nil without a file

	budget      int // octets that a namespace may take
	spaces      map[string]*space
	overChanged bool   // which namespaces are over their budget
	relist      func() // lists all objects again; nil for manifests
	counters    Counters
	changed     []trigger // to be observed when they are published

	troubles *troubles
	ready    bool     // it has been said that all has been read
	alive    []*alive // one for each kind of an API server; set before anything runs
	requests requests
	builder  zones.Builder // the publisher's
}

// podChange is a pod that came or went.
type podChange struct {
	pod  *object.Pod
	gone bool
}

// Counters are what a source counts. Objects are gauges, the others only rise.
type Counters struct {
	Objects     map[string]int       // that are held, by the plural of their kind
	Problems    uint64               // things wrong with objects
	OverBudget  int                  // namespaces of which something was left out
	Toplevel    *Toplevels           // of top-level domains; nil without option toplevel
	Published   uint64               // snapshots
	Ignored     map[string]int       // manifests of other kinds, by kind
	Stale       []Stale              // one for each kind that an API server is watched for
	Programming [2]observe.Histogram // of changes of endpoints, by ProgrammingBounds; see ProgrammingKinds
	Requests    Requests             // to the API server
	Snapshot    *SnapshotCounters    // nil without a file
}

// Stale is the time since the API server last sent something of a kind.
type Stale struct {
	Kind string // plural
	For  time.Duration
}

func newState(o Options, index *zones.Index, log *slog.Logger) (*state, error) {
	o.home = o.findHome()
	if o.Who {
		o.Places = &index.Places
	}
	s := &state{options: o, log: log, index: index, wake: make(chan struct{}, 1), listed: make(chan struct{}, 1),
		started:   time.Now(),
		byService: map[object.Key][]*object.Slice{}, dirty: map[object.Key]struct{}{},
		dirtySpace: map[string]struct{}{}, claims: map[zones.Claim]int{}, complaints: newComplaints(),
		toplevel: newToplevel(o.Toplevel), budget: newBudget(), spaces: map[string]*space{}, troubles: newTroubles(log, index)}
	s.services = newCollection(s.serviceChanged)
	s.slices = newCollection(s.sliceChanged)
	s.namespaces = newCollection(s.namespaceChanged)
	s.pods = newCollection(s.podChanged)
	s.ingresses = newCollection(s.ingressChanged)
	s.gateways = newCollection(s.gatewayChanged)
	s.routes = map[string]*collection[*object.Route]{}
	for _, kind := range object.RouteKinds {
		s.routes[kind] = newCollection(s.routeChanged)
	}
	s.records = newCollection(s.recordsChanged)
	s.nodes = newCollection(s.nodeChanged)
	s.hostsDirty = true
	s.kinds = map[zones.Kinds]objects{
		zones.Services:   s.services,
		zones.Slices:     s.slices,
		zones.Namespaces: s.namespaces,
		zones.PodObjects: s.pods,
		zones.Ingresses:  s.ingresses,
		zones.Gateways:   s.gateways,
		zones.HTTPRoutes: s.routes["HTTPRoute"],
		zones.TLSRoutes:  s.routes["TLSRoute"],
		zones.GRPCRoutes: s.routes["GRPCRoute"],

		zones.DNSEndpoints: s.records,
		zones.Nodes:        s.nodes,
	}
	if o.Namespaces != "" {
		s.exposed = map[string]bool{}
		for name := range strings.SplitSeq(o.Namespaces, ",") {
			s.exposed[name] = true
		}
	}
	var err error
	if o.NamespaceLabels != "" {
		if s.selector, err = labels.Parse(o.NamespaceLabels); err != nil {
			return nil, err
		}
	}
	if s.visibility, err = parseVisibility(o.Visibility); err != nil {
		return nil, err
	}
	if o.NoEndpoints {
		s.synced |= zones.Slices
	}
	return s, nil
}

// shows reports whether the names of a namespace are served (options namespaces and namespace_labels).
func (s *state) shows(name string) bool {
	if s.exposed != nil && !s.exposed[name] {
		return false
	}
	if s.selector == nil {
		return true
	}
	n := s.namespace(name)
	return n != nil && s.selector.Matches(labels.Set(n.Labels))
}

// change runs edit with the objects locked, and wakes the publisher.
func (s *state) change(edit func()) {
	s.mu.Lock()
	edit()
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// complain counts problems and logs each once, but no more of a namespace than complaints allow.
func (s *state) complain(list []object.Problem) {
	for _, p := range list {
		s.counters.Problems++
		text := p.String()
		ok, last := s.complaints.first(p.Namespace, text, time.Now())
		if !ok {
			continue
		}
		if last {
			text += " (what else is wrong in this namespace is counted, not logged, for an hour)"
		}
		s.log.Warn("kubernetes: invalid object field ignored", "object", text)
	}
}

// namespace is nil when it does not exist.
func (s *state) namespace(name string) *object.Namespace {
	return s.namespaces.byKey[object.Key{Name: name}]
}

func (s *state) serviceChanged(old, now *object.Service) {
	k := cmp.Or(now, old).Key
	s.takes(k.Namespace, now.Size()-old.Size(), 0)
	s.dirty[k] = struct{}{}
	s.hostsDirty = s.hostsDirty || old != nil && old.Outside != nil || now != nil && now.Outside != nil
}

func (s *state) ingressChanged(old, now *object.Ingress) {
	s.takes(cmp.Or(now, old).Namespace, now.Size()-old.Size(), 0)
	s.hostsDirty = true
}

func (s *state) gatewayChanged(old, now *object.KeptGateway) {
	s.takes(cmp.Or(now, old).Namespace, now.Size()-old.Size(), 0)
	s.hostsDirty = true
}

func (s *state) recordsChanged(old, now *object.Records) {
	s.takes(cmp.Or(now, old).Namespace, now.Size()-old.Size(), 0)
	s.hostsDirty = true
}

func (s *state) routeChanged(old, now *object.Route) {
	s.takes(cmp.Or(now, old).Namespace, now.Size()-old.Size(), 0)
	s.hostsDirty = true
}

// sliceChanged keeps byService. The label that names a slice's service may have changed.
func (s *state) sliceChanged(old, now *object.Slice) {
	s.takes(cmp.Or(now, old).Namespace, now.Size()-old.Size(), 0)
	if old == nil || now == nil || old.Clients != now.Clients {
		s.claim(old, -1)
		s.claim(now, 1)
	}
	if old != nil {
		owner := ownerOf(old)
		list := s.byService[owner]
		if list = slices.Delete(list, slices.Index(list, old), slices.Index(list, old)+1); len(list) == 0 {
			delete(s.byService, owner)
		} else {
			s.byService[owner] = list
		}
		s.dirty[owner] = struct{}{}
	}
	if now != nil {
		owner := ownerOf(now)
		list := s.byService[owner]
		at, _ := slices.BinarySearchFunc(list, now, func(a, b *object.Slice) int { return cmp.Compare(a.Name, b.Name) })
		s.byService[owner] = slices.Insert(list, at, now)
		s.dirty[owner] = struct{}{}
	}
}

// ownerOf is the key of a slice's service.
func ownerOf(o *object.Slice) object.Key { return object.Key{Namespace: o.Namespace, Name: o.Service} }

func (s *state) namespaceChanged(old, now *object.Namespace) {
	s.dirtySpace[cmp.Or(now, old).Name] = struct{}{}
	s.hostsDirty = true
}

func (s *state) podChanged(old, now *object.Pod) {
	if old != nil {
		s.dirtyPods = append(s.dirtyPods, podChange{old, true})
	}
	if now != nil {
		s.dirtyPods = append(s.dirtyPods, podChange{now, false})
	}
}

// counts is how many objects are held of each kind.
func (s *state) counts() map[string]int {
	counts := map[string]int{}
	var counted zones.Kinds
	for _, r := range object.Resources {
		if counted&r.Kind == 0 { // those that are held as another kind are counted with it
			counts[r.Plural] = s.kinds[r.Kind].len()
			counted |= r.Kind
		}
	}
	return counts
}

// take makes the state hold exactly what a folder of manifests has. Its objects have no versions: what is equal stays
// untouched.
func (s *state) take(r manifests.Reading) {
	s.change(func() {
		s.counters.Ignored = r.Ignored
		s.counters.Problems += uint64(r.NewFaults)
		for kind := range s.kinds {
			s.forgetLeft(kind)
			s.replace(kind, r.Objects[kind])
			s.synced |= kind
		}
	})
}

// newer reports whether resourceVersion a is later than b. Versions compare as numbers (KEP-5504); what is none is
// taken as later.
func newer(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX != nil || errY != nil || x > y
}
