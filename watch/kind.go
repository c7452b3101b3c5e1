package watch

import (
	"fmt"
	"iter"
	"maps"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterdns/clusterdns/zones"
)

// To watch a resource: give it a stripped form in objects.go and strip.go, maps and set/drop methods in state.go, an entry in
// resources, and a rule in deploy/base's ClusterRole (a test compares the two).

// resource is one kind of object that is watched.
type resource struct {
	group, version, plural string
	kind                   zones.Kinds
	example                runtime.Object
	fields                 string // field selector
	labelled               bool   // option `labels` applies
	when                   func(Options) bool
}

func always(Options) bool { return true }

var resources = []resource{
	{"", "v1", "services", zones.Services, &corev1.Service{}, "", true, func(o Options) bool { return !o.ServiceImports }},
	{importsVersion.Group, importsVersion.Version, "serviceimports", zones.Services, &serviceImport{}, "", true,
		func(o Options) bool { return o.ServiceImports }},
	{"", "v1", "namespaces", zones.Namespaces, &corev1.Namespace{}, "", false, always},
	{"discovery.k8s.io", "v1", "endpointslices", zones.Slices, &discoveryv1.EndpointSlice{}, "", true,
		func(o Options) bool { return !o.NoEndpoints }},
	{"", "v1", "pods", zones.PodObjects, &corev1.Pod{}, "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown", true,
		func(o Options) bool { return o.VerifyPods }},
}

// store is where a reflector puts the objects of one kind. It strips them on arrival; stale and repeated events change nothing.
type store struct {
	state  *state
	kind   zones.Kinds
	alive  *alive
	latest string // the version up to which the kind is known; "" before the first list. Guarded by the state's lock
}

var (
	_ cache.TransformingStore      = (*store)(nil)
	_ cache.ReflectorBookmarkStore = (*store)(nil)
)

// stripped is an object on its way from the decoder to the state: what a reflector asks of an object, and nil when nothing of it is served.
type stripped struct {
	metav1.Object // nil: only the three methods below are called
	key
	version  string
	value    any // *service, *slice, *namespace or *pod; nil when nothing of the object is served
	problems []problem
}

func (o *stripped) GetName() string            { return o.name }
func (o *stripped) GetNamespace() string       { return o.namespace }
func (o *stripped) GetResourceVersion() string { return o.version }

// known is an object of a list that says what is held already. A relist is mostly of such, and has all of them in memory at once: one takes
// a fifth of a stripped.
type known struct {
	*metav1.ObjectMeta // nil: only the three methods below are called
	held               holding
}

// holding is an object that the state holds.
type holding interface {
	about() (name key, version string)
}

func (o known) GetName() string {
	k, _ := o.held.about()
	return k.name
}

func (o known) GetNamespace() string {
	k, _ := o.held.about()
	return k.namespace
}

func (o known) GetResourceVersion() string {
	_, version := o.held.about()
	return version
}

// strip keeps what is read of a decoded object. It is safe for concurrent use.
func (s *store) strip(o any) (*stripped, error) {
	s.alive.hear()
	if done, ok := o.(*stripped); ok {
		return done, nil
	}
	if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		return s.strip(tombstone.Obj)
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	out := &stripped{key: key{m.GetNamespace(), m.GetName()}, version: m.GetResourceVersion()}
	switch o := o.(type) {
	case *corev1.Service:
		v, problems := stripService(o)
		out.set(v, v != nil, problems)
	case *serviceImport:
		v, problems := stripImport(o)
		out.set(v, v != nil, problems)
	case *discoveryv1.EndpointSlice:
		v, problems := stripSlice(o, s.state.options)
		out.set(v, v != nil, problems)
	case *corev1.Namespace:
		v, problems := stripNamespace(o, s.state.options)
		out.set(v, v != nil, problems)
	case *corev1.Pod:
		v, problems := stripPod(o)
		out.set(v, v != nil, problems)
	default:
		return nil, fmt.Errorf("unexpected object %T", o)
	}
	return out, nil
}

func (o *stripped) set(v any, ok bool, problems []problem) {
	o.problems = problems
	if ok {
		o.value = v
	}
}

// Transformer strips objects while an initial list still streams in, so that no decoded object outlives its arrival.
func (s *store) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		n, err := s.strip(o)
		if err != nil {
			return nil, err
		}
		s.state.mu.Lock()
		defer s.state.mu.Unlock()
		if held := s.state.held(s.kind, n.key); n.says(held) {
			return known{held: held.value.(holding)}, nil
		}
		return n, nil
	}
}

// says reports whether the object is what is held already: a relist is mostly of such. The version alone does not tell: an API server
// that was restored from a backup gives its versions once more, to other objects.
func (o *stripped) says(held stripped) bool {
	return held.value != nil && reflect.DeepEqual(o.value, held.value)
}

// Add takes an object that the watch says is new or changed.
func (s *store) Add(o any) error {
	n, err := s.strip(o)
	if err != nil {
		return err
	}
	s.state.change(func() {
		old := s.state.version(s.kind, n.key)
		if old == "" {
			old = s.latest // an object that was deleted must not come back by an event from before
		}
		if old != "" && !newer(n.version, old) {
			return
		}
		s.reach(n.version)
		s.state.programmed(n)
		s.state.apply(s.kind, n)
	})
	return nil
}

// reach takes the version of an event. Those of one kind come in the order of their versions.
func (s *store) reach(version string) {
	if newer(version, s.latest) {
		s.latest = version
	}
}

// Bookmark takes the word of the API server that all events up to a version have been sent.
func (s *store) Bookmark(version string) error {
	s.alive.hear()
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.reach(version)
	return nil
}

// Update is Add.
func (s *store) Update(o any) error { return s.Add(o) }

// Delete forgets an object.
func (s *store) Delete(o any) error {
	n, err := s.strip(o)
	if err != nil {
		return err
	}
	s.state.change(func() {
		if old := s.state.version(s.kind, n.key); old != "" && !newer(old, n.version) {
			s.state.drop(s.kind, n.key)
		}
		s.reach(n.version)
	})
	return nil
}

// Replace takes a whole list: what it lacks is forgotten, what is the same stays untouched, so that a relist is a diff
// in place and the index is never blank. A list is the truth even where its versions are lower: a control plane may have been restored.
func (s *store) Replace(list []any, version string) error {
	s.alive.hear()
	seen := make(map[key]struct{}, len(list))
	var objects []*stripped
	for _, o := range list {
		if same, ok := o.(known); ok {
			k, _ := same.held.about()
			seen[k] = struct{}{}
			continue
		}
		n, err := s.strip(o)
		if err != nil {
			return err
		}
		seen[n.key] = struct{}{}
		objects = append(objects, n)
	}
	s.state.change(func() {
		for k := range s.state.keys(s.kind) {
			if _, ok := seen[k]; !ok {
				s.state.drop(s.kind, k)
			}
		}
		for _, n := range objects {
			if !n.says(s.state.held(s.kind, n.key)) {
				s.state.apply(s.kind, n)
			}
		}
		s.state.synced |= s.kind
		s.latest = version
	})
	select {
	case s.state.listed <- struct{}{}:
	default:
	}
	return nil
}

// Resync does nothing: the state is level-triggered.
func (s *store) Resync() error { return nil }

// apply puts an object in its place; one of which nothing is served is dropped.
func (s *state) apply(kind zones.Kinds, n *stripped) {
	s.complain(n.problems)
	switch v := n.value.(type) {
	case *service:
		s.setService(v)
	case *slice:
		s.setSlice(v)
	case *namespace:
		s.setNamespace(v)
	case *pod:
		s.setPod(v)
	default:
		s.drop(kind, n.key)
	}
}

func (s *state) drop(kind zones.Kinds, k key) {
	switch kind {
	case zones.Services:
		s.dropService(k)
	case zones.Slices:
		s.dropSlice(k)
	case zones.Namespaces:
		s.dropNamespace(k.name)
	case zones.PodObjects:
		s.dropPod(k)
	}
}

// version is the resourceVersion of the object that is held, "" for none.
func (s *state) version(kind zones.Kinds, k key) string { return s.held(kind, k).version }

// held is the object that is held under a name; without a value and a version when there is none.
func (s *state) held(kind zones.Kinds, k key) stripped {
	switch kind {
	case zones.Services:
		if o := s.services[k]; o != nil {
			return stripped{key: o.key, version: o.version, value: o}
		}
	case zones.Slices:
		if o := s.slices[k]; o != nil {
			return stripped{key: o.key, version: o.version, value: o}
		}
	case zones.Namespaces:
		if o := s.namespaces[k.name]; o != nil {
			return stripped{key: key{name: o.name}, version: o.version, value: o}
		}
	case zones.PodObjects:
		if o := s.pods[k]; o != nil {
			return stripped{key: o.key, version: o.version, value: o}
		}
	}
	return stripped{key: k}
}

// keys calls yield with the name of every object that is held of a kind, until yield returns false. The object may be dropped by then.
func (s *state) keys(kind zones.Kinds) iter.Seq[key] {
	switch kind {
	case zones.Services:
		return maps.Keys(s.services)
	case zones.Slices:
		return maps.Keys(s.slices)
	case zones.PodObjects:
		return maps.Keys(s.pods)
	}
	return func(yield func(key) bool) {
		for name := range s.namespaces {
			if !yield(key{name: name}) {
				return
			}
		}
	}
}
