package watch

import (
	"log/slog"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// follower is one source under test: the cluster's, or that of a clusterset. Each follows the API server by itself.
type follower struct {
	model   *naive  // its world is what the source was told
	history []event // that the source was told of
	state   *state
	stores  [kindsOf]*store // nil of kinds that the source does not ask for
}

func newFollower(o Options, pods zones.Pods) (*follower, error) {
	s, err := newState(o, zones.NewIndex(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	f := &follower{model: &naive{world: newWorld(), options: o, pods: pods, local: modelServer}, state: s}
	kinds := map[string]int{
		"services":       servicesOf,
		"serviceimports": importsOf,
		"namespaces":     namespacesOf,
		"endpointslices": slicesOf,
		"pods":           podsOf,
	}
	for i := range object.Resources {
		if r := &object.Resources[i]; r.When(o.Selection) {
			f.stores[kinds[r.Plural]] = newStore(s, r, newAlive(""))
		}
	}
	return f, nil
}

func (f *follower) publish() { f.state.publish(time.Unix(1, 0)) }

// list gives the source the whole list of each kind.
func (f *follower) list(w world, version string) error {
	for kind, to := range f.stores {
		if to == nil {
			continue
		}
		if err := to.Replace(listOf(w[kind]), version); err != nil {
			return err
		}
	}
	return nil
}

// take lets the model know of an event.
func (f *follower) take(e event) {
	f.history = append(f.history, e)
	if e.deleted {
		delete(f.model.world[e.kind], keyOf(e.object))
	} else {
		f.model.world[e.kind][keyOf(e.object)] = e.object
	}
}
