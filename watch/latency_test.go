package watch

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/clusterdns/clusterdns/observe"
)

func TestProgrammingLatencyIsOfChangesThatAreServed(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newStores(t)
	s.started = now.Add(-24 * time.Hour)
	triggered := func(service string, version int, ago time.Duration) *discoveryv1.EndpointSlice {
		o := sliceAt(service, "10.1.0.1", version)
		o.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: now.Add(-ago).Format(time.RFC3339Nano)}
		return o
	}
	must(t, s.namespaces.Replace([]any{namespaceAt("prod", 1)}, "1"))
	must(t, s.services.Replace([]any{serviceAt("front", "10.0.0.1", 2), serviceAt("db", "None", 3)}, "3"))
	// A list tells of what happened at any time.
	must(t, s.slices.Replace([]any{triggered("front", 4, time.Hour)}, "4"))

	must(t, s.slices.Update(triggered("front", 5, time.Hour)))         // the trigger is the old one
	must(t, s.slices.Update(triggered("front", 6, time.Millisecond)))  // on the bound
	must(t, s.slices.Update(triggered("front", 6, 2*time.Hour)))       // a repeated event
	must(t, s.slices.Add(triggered("db", 7, 3*time.Millisecond)))      // the third bucket
	must(t, s.slices.Update(triggered("db", 8, -time.Second)))         // the controller's clock is ahead
	must(t, s.slices.Update(triggered("db", 9, 24*time.Hour)))         // above all bounds
	must(t, s.slices.Update(triggered("db", 10, 60*365*24*time.Hour))) // long before this process
	must(t, s.slices.Update(triggered("db", 11, 290*365*24*time.Hour)))
	must(t, s.slices.Update(triggered("db", 12, -time.Hour)))          // no clock is ahead by that
	must(t, s.slices.Add(triggered("nobody", 13, time.Millisecond)))   // no such service
	must(t, s.slices.Update(sliceAt("front", "10.1.0.2", 14)))         // written by hand
	must(t, s.slices.Delete(triggered("front", 15, time.Millisecond))) // says when it was changed, not when it was deleted
	s.publish(now)
	if s.counters.Programming != [2]observe.Histogram{} {
		t.Errorf("observed before the publication is over: %v", s.counters.Programming)
	}
	s.observe(now)
	s.observe(now)
	want := [2]observe.Histogram{
		{Counts: [observe.MaxBounds + 1]uint64{0: 1}, Sum: int64(time.Millisecond)},
		{Counts: [observe.MaxBounds + 1]uint64{0: 1, 2: 1, 20: 1}, Sum: int64(3*time.Millisecond + 24*time.Hour)},
	}
	if s.counters.Programming != want {
		t.Errorf("got %v\nwant %v", s.counters.Programming, want)
	}
	if got, want := ProgrammingBounds[len(ProgrammingBounds)-1], int64(524288*time.Millisecond); got != want {
		t.Errorf("the last bound is %d, want CoreDNS's %d", got, want)
	}
}
