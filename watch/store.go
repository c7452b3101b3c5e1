package watch

import (
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterdns/clusterdns/watch/object"
)

// store is where a reflector puts the objects of one resource. It strips them on arrival; stale and repeated events
// change nothing.
type store struct {
	state    *state
	resource *object.Resource
	objects  objects
	alive    *alive
	latest   string // the version up to which events have come; "" before the first list. Guarded by the state's lock
}

func newStore(s *state, r *object.Resource, a *alive) *store {
	return &store{state: s, resource: r, objects: s.kinds[r.Kind], alive: a}
}

var (
	_ cache.TransformingStore      = (*store)(nil)
	_ cache.ReflectorBookmarkStore = (*store)(nil)
)

// stripped is an object on its way from the decoder to the state: what a reflector asks of an object, and what is kept
// of it.
type stripped struct {
	metav1.Object // nil: only the three methods below are called
	object.Key
	version  string
	kept     object.Object // nil when nothing of the object is served
	problems []object.Problem
}

func (o *stripped) GetName() string            { return o.Name }
func (o *stripped) GetNamespace() string       { return o.Namespace }
func (o *stripped) GetResourceVersion() string { return o.version }

// unchanged is an object of a list that equals the one that is held. Most objects of a relist are unchanged, and all of
// them are in memory at once: an unchanged takes a fifth of a stripped.
type unchanged struct {
	*metav1.ObjectMeta // nil: only the three methods below are called
	held               object.Object
}

func (o unchanged) GetName() string {
	k, _ := o.held.About()
	return k.Name
}

func (o unchanged) GetNamespace() string {
	k, _ := o.held.About()
	return k.Namespace
}

func (o unchanged) GetResourceVersion() string {
	_, version := o.held.About()
	return version
}

// strip keeps what is read of a decoded object. It is safe for concurrent use.
func (s *store) strip(o any) (*stripped, error) {
	s.alive.touch()
	if done, ok := o.(*stripped); ok {
		return done, nil
	}
	if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		return s.strip(tombstone.Obj)
	}
	return strip(s.resource, s.state.options.Selection, o)
}

// strip keeps what is read of a decoded object of a resource, and none of the object itself.
func strip(r *object.Resource, selection object.Selection, o any) (*stripped, error) {
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	kept, problems, ok := r.Strip(o, selection)
	if !ok {
		return nil, fmt.Errorf("unexpected object %T", o)
	}
	n := &stripped{kept: kept, problems: problems}
	if kept != nil {
		n.Key, n.version = kept.About()
	} else {
		n.Key, n.version = object.OwnKey(m), strings.Clone(m.GetResourceVersion())
	}
	return n, nil
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
		if held := s.objects.held(n.Key); n.equals(held) {
			return unchanged{held: held}, nil
		}
		return n, nil
	}
}

// equals reports whether the object equals the one that is held, if any. The version alone does not tell: an API server
// that was restored from a backup gives its versions once more, to other objects.
func (o *stripped) equals(held object.Object) bool {
	return held != nil && reflect.DeepEqual(o.kept, held)
}

// version is the resourceVersion of the object that is held, "" for none.
func (s *store) version(k object.Key) string {
	if held := s.objects.held(k); held != nil {
		_, version := held.About()
		return version
	}
	return ""
}

// Add takes an object that the watch reports as new or changed.
func (s *store) Add(o any) error {
	n, err := s.strip(o)
	if err != nil {
		return err
	}
	s.state.change(func() {
		old := s.version(n.Key)
		if old == "" {
			old = s.latest // an object that was deleted must not come back by an event from before
		}
		if old != "" && !newer(n.version, old) {
			return
		}
		s.reach(n.version)
		s.state.programmed(n.kept)
		s.apply(n)
	})
	return nil
}

// apply puts an object in its place; one of which nothing is served is dropped.
func (s *store) apply(n *stripped) {
	s.state.complain(n.problems)
	if n.kept == nil {
		s.objects.drop(n.Key)
	} else {
		s.state.set(s.resource.Kind, n.kept)
	}
}

// reach takes the version of an event. Those of one kind come in the order of their versions.
func (s *store) reach(version string) {
	if newer(version, s.latest) {
		s.latest = version
	}
}

// Bookmark takes a version up to which the API server has sent all events.
func (s *store) Bookmark(version string) error {
	s.alive.touch()
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.reach(version)
	return nil
}

// Update treats an update as an addition: the version decides which object is the newer one.
func (s *store) Update(o any) error { return s.Add(o) }

// Delete forgets an object.
func (s *store) Delete(o any) error {
	n, err := s.strip(o)
	if err != nil {
		return err
	}
	s.state.change(func() {
		if old := s.version(n.Key); old != "" && !newer(old, n.version) {
			s.objects.drop(n.Key)
		}
		s.reach(n.version)
	})
	return nil
}

// Replace takes a whole list: what it lacks is forgotten, what is the same stays untouched, so that a relist is a diff
// in place and the index is never blank. A list is the truth even where its versions are lower: a control plane may
// have been restored.
func (s *store) Replace(list []any, version string) error {
	s.alive.touch()
	seen := make(map[object.Key]struct{}, len(list))
	var arrived []*stripped
	for _, o := range list {
		if same, ok := o.(unchanged); ok {
			k, _ := same.held.About()
			seen[k] = struct{}{}
			continue
		}
		n, err := s.strip(o)
		if err != nil {
			return err
		}
		seen[n.Key] = struct{}{}
		arrived = append(arrived, n)
	}
	s.state.change(func() {
		for k := range s.objects.keys() {
			if _, ok := seen[k]; !ok {
				s.objects.drop(k)
			}
		}
		s.state.forgetLeft(s.resource.Kind)
		for _, n := range arrived {
			if !n.equals(s.objects.held(n.Key)) {
				s.apply(n)
			}
		}
		s.state.synced |= s.resource.Kind
		s.latest = version
	})
	s.state.tidy()
	return nil
}

// forget takes note that the API server does not have the resource: there are no objects of it.
func (s *store) forget() { _ = s.Replace(nil, "") }

// Resync does nothing: the state is level-triggered.
func (s *store) Resync() error { return nil }
