package watch

import (
	"iter"
	"maps"
	"reflect"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// stored is a pointer to a stripped object.
type stored interface {
	comparable
	object.Object
}

// collection is the objects of one kind that a source holds. The map is typed: one of interfaces would take another
// word for each object.
type collection[V stored] struct {
	byKey map[object.Key]V
	count uint64 // of what was set and dropped

	// changed notes what a change makes dirty. An object that is new has a nil old, one that was dropped a nil now.
	changed func(old, now V)
}

func newCollection[V stored](changed func(old, now V)) *collection[V] {
	return &collection[V]{byKey: map[object.Key]V{}, changed: changed}
}

// objects are a collection, whatever its type.
type objects interface {
	set(object.Object)
	drop(object.Key)
	held(object.Key) object.Object // nil when there is none
	keys() iter.Seq[object.Key]    // an object may be dropped while it is yielded
	all() []object.Object
	len() int
	edits() uint64 // how often one was set or dropped
}

func (c *collection[V]) set(o object.Object) {
	k, _ := o.About()
	old, now := c.byKey[k], o.(V)
	c.byKey[k] = now
	c.count++
	c.changed(old, now)
}

func (c *collection[V]) drop(k object.Key) {
	if old, ok := c.byKey[k]; ok {
		delete(c.byKey, k)
		c.count++
		var none V
		c.changed(old, none)
	}
}

func (c *collection[V]) held(k object.Key) object.Object {
	if o, ok := c.byKey[k]; ok {
		return o
	}
	return nil
}

func (c *collection[V]) keys() iter.Seq[object.Key] { return maps.Keys(c.byKey) }

func (c *collection[V]) all() []object.Object {
	list := make([]object.Object, 0, len(c.byKey))
	for _, o := range c.byKey {
		list = append(list, o)
	}
	return list
}

func (c *collection[V]) len() int { return len(c.byKey) }

func (c *collection[V]) edits() uint64 { return c.count }

// replace makes the collection of a kind hold exactly the objects of list. What is equal stays untouched.
func (s *state) replace(kind zones.Kinds, list []object.Object) {
	held := s.kinds[kind]
	listed := make(map[object.Key]bool, len(list))
	for _, o := range list {
		k, _ := o.About()
		listed[k] = true
	}
	for k := range held.keys() {
		if !listed[k] {
			held.drop(k)
		}
	}
	for _, o := range list {
		k, _ := o.About()
		if old := held.held(k); !reflect.DeepEqual(old, o) {
			s.set(kind, o)
		}
	}
}
