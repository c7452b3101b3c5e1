package watch

import (
	"cmp"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/zones"
)

// state is the stripped objects of one source, and the index they are compiled into. Sources change objects and mark services dirty;
// one publisher compiles what is dirty. The work is level-triggered: a service is always compiled whole from the objects as they are.
type state struct {
	options  Options
	log      *slog.Logger
	index    *zones.Index
	exposed  map[string]bool // namespaces; nil for all
	selector labels.Selector // on namespaces; nil for all
	wake     chan struct{}   // holds one token while something is dirty
	listed   chan struct{}   // holds one token after a whole list has been taken

	mu         sync.Mutex
	services   map[key]*service
	slices     map[key]*slice
	byService  map[key][]*slice // in the order of their names
	namespaces map[string]*namespace
	pods       map[key]*pod
	dirty      map[key]struct{}    // services to compile
	dirtySpace map[string]struct{} // namespaces to look at again
	dirtyPods  []podChange
	synced     zones.Kinds
	problems   map[string]struct{} // said already
	counters   Counters
	changed    []trigger // to be observed when they are published

	alive    []*alive // one for each kind of an API server; set before anything runs
	requests requests
	builder  zones.Builder // the publisher's
}

// podChange is a pod's address that came (by 1) or went (by -1).
type podChange struct {
	pod *pod
	by  int
}

// Counters are what a source counts. Objects are gauges, the others only rise.
type Counters struct {
	Services, Slices, Namespaces, Pods int
	Problems                           uint64               // things wrong with objects
	Published                          uint64               // snapshots
	PassedOver                         map[string]int       // manifests of other kinds, by kind
	Stale                              []Stale              // one for each kind that an API server is asked for
	Programming                        [2]observe.Histogram // of changes of endpoints, by ProgrammingBounds; see ProgrammingKinds
	Requests                           Requests             // to the API server
}

// Stale is how long the API server has said nothing of a kind.
type Stale struct {
	Kind string // plural
	For  time.Duration
}

// maxProblems bounds what is remembered of problems said already.
const maxProblems = 10000

func newState(o Options, index *zones.Index, log *slog.Logger) (*state, error) {
	s := &state{options: o, log: log, index: index, wake: make(chan struct{}, 1), listed: make(chan struct{}, 1),
		services: map[key]*service{}, slices: map[key]*slice{}, byService: map[key][]*slice{}, namespaces: map[string]*namespace{},
		pods: map[key]*pod{}, dirty: map[key]struct{}{}, dirtySpace: map[string]struct{}{}, problems: map[string]struct{}{}}
	if o.Namespaces != "" {
		s.exposed = map[string]bool{}
		for name := range strings.SplitSeq(o.Namespaces, ",") {
			s.exposed[name] = true
		}
	}
	if o.NamespaceLabels != "" {
		var err error
		if s.selector, err = labels.Parse(o.NamespaceLabels); err != nil {
			return nil, err
		}
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
	n := s.namespaces[name]
	return n != nil && s.selector.Matches(labels.Set(n.labels))
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

// complain counts problems and logs each once.
func (s *state) complain(list []problem) {
	for _, p := range list {
		s.counters.Problems++
		text := p.String()
		if _, said := s.problems[text]; said || len(s.problems) >= maxProblems {
			continue
		}
		s.problems[text] = struct{}{}
		s.log.Warn("object has a mistake, the rest of it is served", "object", text)
	}
}

func (s *state) setService(n *service) {
	s.services[n.key] = n
	s.dirty[n.key] = struct{}{}
}

func (s *state) dropService(k key) {
	if _, ok := s.services[k]; ok {
		delete(s.services, k)
		s.dirty[k] = struct{}{}
	}
}

func (s *state) setSlice(n *slice) {
	s.dropSlice(n.key) // the label that names its service may have changed
	s.slices[n.key] = n
	owner := key{n.namespace, n.service}
	list := s.byService[owner]
	at, _ := slices.BinarySearchFunc(list, n, func(a, b *slice) int { return cmp.Compare(a.name, b.name) })
	s.byService[owner] = slices.Insert(list, at, n)
	s.dirty[owner] = struct{}{}
}

func (s *state) dropSlice(k key) {
	old, ok := s.slices[k]
	if !ok {
		return
	}
	delete(s.slices, k)
	owner := key{old.namespace, old.service}
	list := s.byService[owner]
	list = slices.Delete(list, slices.Index(list, old), slices.Index(list, old)+1)
	if len(list) == 0 {
		delete(s.byService, owner)
	} else {
		s.byService[owner] = list
	}
	s.dirty[owner] = struct{}{}
}

func (s *state) setNamespace(n *namespace) {
	s.namespaces[n.name] = n
	s.dirtySpace[n.name] = struct{}{}
}

func (s *state) dropNamespace(name string) {
	if _, ok := s.namespaces[name]; ok {
		delete(s.namespaces, name)
		s.dirtySpace[name] = struct{}{}
	}
}

func (s *state) setPod(n *pod) {
	s.dropPod(n.key)
	s.pods[n.key] = n
	s.dirtyPods = append(s.dirtyPods, podChange{n, 1})
}

func (s *state) dropPod(k key) {
	if old, ok := s.pods[k]; ok {
		delete(s.pods, k)
		s.dirtyPods = append(s.dirtyPods, podChange{old, -1})
	}
}

// publish compiles what is dirty and publishes it in one step. Until services, slices and namespaces have all been read once, their
// names wait: what is half known is not compiled.
func (s *state) publish(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.index.Update(now, func(tx *zones.Tx) {
		s.publishNamespaces(tx)
		if s.synced&zones.ServiceKinds == zones.ServiceKinds {
			s.publishServices(tx)
		}
		s.publishPods(tx)
		tx.SetSynced(s.synced)
	})
	if changed {
		s.counters.Published++
	}
}

// publishNamespaces makes namespaces exist or not. When a namespace appears or its labels change, a selector may show or hide its services.
func (s *state) publishNamespaces(tx *zones.Tx) {
	for name := range s.dirtySpace {
		tx.SetNamespace(name, s.namespaces[name] != nil && s.shows(name))
	}
	if s.selector != nil && len(s.dirtySpace) > 0 {
		for k := range s.services {
			if _, ok := s.dirtySpace[k.namespace]; ok {
				s.dirty[k] = struct{}{}
			}
		}
	}
	clear(s.dirtySpace)
}

func (s *state) publishServices(tx *zones.Tx) {
	for k := range s.dirty {
		n := s.services[k]
		if n == nil || !s.shows(k.namespace) {
			tx.DropService(k.namespace, k.name)
			continue
		}
		unit, err := compile(&s.builder, n, s.byService[k], s.options)
		if err != nil {
			s.complain([]problem{{kind: "service", key: k, words: err.Error()}})
			continue // the last good state stays
		}
		tx.SetService(unit)
	}
	if len(s.dirty) > 1000 {
		s.dirty = map[key]struct{}{} // a map never shrinks: do not keep a full rebuild's
		s.builder = zones.Builder{}
	} else {
		clear(s.dirty)
	}
}

func (s *state) publishPods(tx *zones.Tx) {
	for _, c := range s.dirtyPods {
		for _, addr := range c.pod.addrs {
			tx.AddPod(c.pod.namespace, addr, c.by)
		}
	}
	s.dirtyPods = nil
}

// replaceAll makes the state hold exactly o, the whole of a source whose objects have no versions: what is equal stays untouched.
func (s *state) replaceAll(o objects) {
	s.change(func() {
		replace(s.services, o.services, func(n *service) key { return n.key }, s.setService, s.dropService)
		replace(s.slices, o.slices, func(n *slice) key { return n.key }, s.setSlice, s.dropSlice)
		replace(s.namespaces, o.namespaces, func(n *namespace) string { return n.name }, s.setNamespace, s.dropNamespace)
		replace(s.pods, o.pods, func(n *pod) key { return n.key }, s.setPod, s.dropPod)
		s.synced |= zones.ServiceKinds | zones.PodObjects
	})
}

// replace sets what of list differs from held, and drops what list lacks.
func replace[K comparable, V any](held map[K]*V, list []*V, name func(*V) K, set func(*V), drop func(K)) {
	listed := make(map[K]bool, len(list))
	for _, n := range list {
		k := name(n)
		listed[k] = true
		if old := held[k]; old == nil || !reflect.DeepEqual(old, n) {
			set(n)
		}
	}
	for k := range maps.Clone(held) {
		if !listed[k] {
			drop(k)
		}
	}
}

// newer reports whether resourceVersion a is later than b. Versions compare as numbers (KEP-5504); what is none is taken as later.
func newer(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX != nil || errY != nil || x > y
}
