package watch

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// tight is stores with a budget, and their log.
func tight(t *testing.T, budget int) (*stores, *strings.Builder) {
	t.Helper()
	s := newStores(t)
	var out strings.Builder
	s.budget, s.log = budget, slog.New(lines(&out, slog.LevelInfo))
	must(t, s.services.Replace(nil, "1"))
	must(t, s.slices.Replace(nil, "1"))
	must(t, s.namespaces.Replace([]any{namespaceAt("prod", 1), namespaceAt("evil", 1)}, "1"))
	return s, &out
}

// why is why a name of the cluster has no records; ok is that it has some.
func (s *stores) why(name string) (ok bool, why zones.Why) {
	s.publish(time.Unix(1, 0))
	packed, err := wire.ParseName(name + ".svc.cluster.local")
	if err != nil {
		panic(err)
	}
	var q wire.QName
	q.Set(packed)
	var m zones.Match
	s.index.Snapshot().Lookup(&m, &q, 2, zones.PodsDisabled)
	return m.Outcome == zones.Found, m.Why
}

// evil is the i-th service of a tenant.
func evil(i, version int) any {
	s := serviceAt(fmt.Sprint("s", i), fmt.Sprintf("10.97.%d.%d", i>>8, i&255), version)
	s.Namespace = "evil"
	return s
}

// A tenant who writes thousands of objects fills the budget of the own namespace, and takes nothing from others.
func TestBudgetOfANamespace(t *testing.T) {
	const budget = 64 << 10
	s, out := tight(t, budget)
	lists := 0
	s.relist = func() { lists++ }
	for i := range 1000 {
		must(t, s.services.Add(evil(i, 10+i)))
		s.publish(time.Unix(int64(i), 0))
	}
	must(t, s.services.Add(serviceAt("web", "10.96.0.1", 2000)))
	if ok, _ := s.why("web.prod"); !ok {
		t.Error("a service of another namespace is not served")
	}
	if ok, _ := s.why("s0.evil"); !ok {
		t.Error("what the budget has room for is not served")
	}
	if ok, why := s.why("s999.evil"); ok || why != zones.OverBudget {
		t.Errorf("what is over the budget: %v, %v", ok, why)
	}
	if ok, why := s.why("nope.prod"); ok || why != zones.NoService {
		t.Errorf("a name of another namespace: %v, %v", ok, why)
	}
	if n := s.spaces["evil"].objects + s.spaces["evil"].records; n > budget || s.overBudgets() != 1 || s.counters.Problems < 500 {
		t.Errorf("%d octets, %d namespaces over their budget, %d problems", n, s.overBudgets(), s.counters.Problems)
	}
	if want := "service evil/s999: left out, because a namespace may take"; strings.Count(out.String(), "left out, ") !=
		maxComplaints || !strings.Contains(out.String(), "left out, because a namespace may take") {
		t.Errorf("no lines such as %q in\n%s", want, out)
	}

	// Without room nothing is tried; with room all is listed again, and is whole.
	if s.retry(); lists != 0 {
		t.Error("listed without room")
	}
	kept := []any{serviceAt("web", "10.96.0.1", 2000)}
	for i := range 1000 {
		if i >= 20 && i < 990 {
			must(t, s.services.Delete(evil(i, 3000+i)))
		} else {
			kept = append(kept, evil(i, 10+i))
		}
	}
	s.publish(time.Unix(2, 0))
	if s.retry(); lists != 1 {
		t.Fatalf("%d lists with room", lists)
	}
	must(t, s.services.Replace(kept, "5000"))
	if ok, why := s.why("s999.evil"); !ok || s.overBudgets() != 0 {
		t.Errorf("not served with room: %v, %d namespaces over their budget", why, s.overBudgets())
	}
	if _, why := s.why("s500.evil"); why != zones.NoService {
		t.Errorf("why %v of a service that is gone", why)
	}
	for i := range 1000 {
		must(t, s.services.Delete(evil(i, 6000+i)))
	}
	s.publish(time.Unix(3, 0))
	if s.spaces["evil"] != nil {
		t.Errorf("an empty namespace takes %v", s.spaces["evil"])
	}
}

// manyAt is a slice of a service of namespace prod with count endpoints.
func manyAt(count, version int) *discoveryv1.EndpointSlice {
	s := sliceAt("db", "10.244.0.1", version)
	for i := range count {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.245.%d.%d", i>>8, i&255)}})
	}
	return s
}

// Records count too: a service whose objects fit and whose records do not has no names, and says why.
func TestBudgetForRecords(t *testing.T) {
	s, _ := tight(t, 32<<10)
	must(t, s.services.Add(serviceAt("db", "None", 10)))
	must(t, s.services.Add(serviceAt("web", "10.96.0.1", 11)))
	must(t, s.slices.Add(manyAt(400, 12)))
	if ok, why := s.why("db.prod"); ok || why != zones.OverBudget || s.overBudgets() != 1 {
		t.Errorf("why %v, %d namespaces over their budget", why, s.overBudgets())
	}
	if ok, _ := s.why("web.prod"); !ok {
		t.Error("what fits is not served")
	}
	must(t, s.slices.Update(manyAt(3, 13))) // any change of the service is compiled at once
	if ok, why := s.why("db.prod"); !ok || s.overBudgets() != 0 {
		t.Errorf("why %v", why)
	}
	must(t, s.slices.Update(manyAt(130, 14)))
	if ok, why := s.why("db.prod"); !ok { // published before the other, whatever the order of what is dirty
		t.Errorf("why %v", why)
	}
	other := serviceAt("other", "None", 15)
	must(t, s.services.Add(other))
	big := manyAt(120, 16)
	big.Name, big.Labels = "other", map[string]string{discoveryv1.LabelServiceName: "other"}
	must(t, s.slices.Add(big))
	if ok, why := s.why("other.prod"); ok {
		t.Errorf("two large services fit, why %v", why)
	}
	must(t, s.slices.Update(manyAt(3, 17))) // room for the other, which nothing touches
	s.publish(time.Unix(2, 0))
	s.retry()
	if ok, why := s.why("other.prod"); !ok {
		t.Errorf("not served with room: %v", why)
	}
}

// What a namespace takes is the sum of what is held and published, after any changes.
func TestBudgetIsASum(t *testing.T) {
	s, _ := tight(t, 1<<20)
	for i := range 300 {
		switch name := fmt.Sprint("s", i*7%13); i % 4 {
		case 0:
			must(t, s.services.Add(serviceAt(name, fmt.Sprint("10.96.0.", i%250), 10+i)))
		case 1:
			must(t, s.slices.Add(sliceAt(name, fmt.Sprint("10.244.0.", i%250), 10+i)))
		case 2:
			must(t, s.services.Delete(serviceAt(name, "", 10+i)))
		case 3:
			must(t, s.slices.Delete(sliceAt(name, "10.244.0.1", 10+i)))
		}
		if i%5 == 0 {
			s.publish(time.Unix(int64(i), 0))
		}
	}
	s.publish(time.Unix(1000, 0))
	want := 0
	for k, o := range s.state.services.byKey {
		want += o.Size()
		owner, _ := wire.ParseName(k.Name + "." + k.Namespace)
		want += s.index.Snapshot().Service(owner[:len(owner)-1]).Size()
	}
	for _, o := range s.state.slices.byKey {
		want += o.Size()
	}
	if got := s.spaces["prod"].objects + s.spaces["prod"].records; got != want {
		t.Errorf("%d octets, want %d", got, want)
	}
}

// What was left out is read again by a list, without a new connection of the process.
func TestRelist(t *testing.T) {
	p := &player{now: "5", watch: func(n int, s *stream, _ metav1.ListOptions) error {
		go func() {
			s.begin("5")
			if n > 0 {
				s.send(watch.Added, "second", "6", false)
			}
		}()
		return nil
	}}
	follow(t, p, func(s *state) {
		time.Sleep(time.Minute)
		s.relist()
		time.Sleep(time.Minute)
		if got := s.names(); !slices.Equal(got, []string{"prod", "second"}) {
			t.Errorf("namespaces %q", got)
		}
	})
	expectRequests(t, p, asked{"stream ", 0}, asked{"stream ", time.Minute})
}

// TestEmptySpacesAreForgotten: a namespace of which nothing is held leaves nothing behind, be it one with pods alone or
// one that was over its budget.
func TestEmptySpacesAreForgotten(t *testing.T) {
	s, _ := tight(t, 32<<10)
	if !s.fits("pods", 0, 0) {
		t.Error("an object without a size does not fit")
	}
	s.spaces["emptied"] = &space{published: true}
	s.overChanged = true
	must(t, s.services.Add(serviceAt("web", "10.96.0.1", 10)))
	s.publish(time.Unix(1, 0))
	if s.spaces["pods"] != nil || s.spaces["emptied"] != nil || s.spaces["prod"] == nil {
		t.Errorf("spaces %v", s.spaces)
	}
}
