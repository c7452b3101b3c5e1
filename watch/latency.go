package watch

import (
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/watch/object"
)

// How long a change of endpoints takes to be served, by the definition of the SLI "DNS programming latency": from the
// moment that the endpoint controller took note of the pod or service, which it writes on the slice, to the moment that
// queries see it.

// ProgrammingBounds are the bounds of the buckets of programming latencies, in nanoseconds. They are CoreDNS's: a
// millisecond, and twice the last, to about nine minutes.
var ProgrammingBounds = observe.Doubling(int64(time.Millisecond), 20)

// ProgrammingKinds are the names of the kinds of services that latencies are kept for, as CoreDNS calls them.
var ProgrammingKinds = [2]string{"cluster_ip", "headless_with_selector"}

// trigger is what made a slice change, and when.
type trigger struct {
	service object.Key
	at      time.Time
}

// programmed takes note of what an event changes, before it is applied. A slice keeps its trigger until there is a new
// one: other changes of it are not observed, nor are the triggers of a list, which may be days old.
func (s *state) programmed(o object.Object) {
	v, ok := o.(*object.Slice)
	if !ok || v.Trigger.IsZero() {
		return
	}
	if old := s.slices.byKey[v.Key]; old == nil || !old.Trigger.Equal(v.Trigger) {
		s.changed = append(s.changed, trigger{ownerOf(v), v.Trigger})
	}
}

// maxTriggerSkew is how far a trigger may be before the start of this source, or after now, because clocks differ and
// controllers lag by minutes; what is further is no time of a change, for anybody may write it, and would outweigh all
// true latencies in their sum. It is the bound of the last bucket.
const maxTriggerSkew = 524288 * time.Millisecond

// plausible reports whether something can have happened then.
func (s *state) plausible(at, now time.Time) bool {
	return !at.Before(s.started.Add(-maxTriggerSkew)) && !at.After(now.Add(maxTriggerSkew))
}

// observe counts the changes that have been published by now. The change of a slice without a service is not served,
// and not observed.
func (s *state) observe(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.changed {
		o := s.services.byKey[c.service]
		if o == nil || !s.plausible(c.at, now) {
			continue
		}
		kind := 0
		if o.Headless {
			kind = 1
		}
		// the controller's clock may be ahead
		s.counters.Programming[kind].Observe(ProgrammingBounds, int64(max(0, now.Sub(c.at))))
	}
	s.changed = s.changed[:0]
}
