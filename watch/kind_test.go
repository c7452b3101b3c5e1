package watch

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// stores is a state with a store of each kind that service names come from.
type stores struct {
	*state
	services, slices, namespaces *store
}

func newStores(t testing.TB) *stores {
	t.Helper()
	s, err := newState(Options{}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	of := func(kind zones.Kinds) *store { return &store{state: s, kind: kind, alive: newAlive("")} }
	return &stores{s, of(zones.Services), of(zones.Slices), of(zones.Namespaces)}
}

func namespaceAt(name string, version int) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: fmt.Sprint(version)}}
}

func serviceAt(name, address string, version int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: name, ResourceVersion: fmt.Sprint(version)},
		Spec:       corev1.ServiceSpec{ClusterIP: address, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

func sliceAt(service, address string, version int) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: service, ResourceVersion: fmt.Sprint(version),
			Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{address}}},
	}
}

// do ends the test at an error.
func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// held is what is known of the services, as "name address".
func (s *stores) held() []string {
	var all []string
	for k, o := range s.state.services {
		all = append(all, fmt.Sprint(k.name, " ", o.clusterIPs))
	}
	slices.Sort(all)
	return all
}

// TestStaleEventsChangeNothing replays events of the past, as an API server does whose cache is behind.
func TestStaleEventsChangeNothing(t *testing.T) {
	s := newStores(t)
	do(t, s.services.Replace([]any{serviceAt("a", "10.0.0.1", 3), serviceAt("b", "10.0.0.2", 4)}, "10"))
	do(t, s.services.Update(serviceAt("a", "10.0.0.3", 12)))
	do(t, s.services.Delete(serviceAt("b", "10.0.0.2", 13)))
	do(t, s.services.Add(serviceAt("c", "10.0.0.5", 14)))
	want := []string{"a [10.0.0.3]", "c [10.0.0.5]"}
	for _, replay := range []struct {
		what string
		do   func() error
	}{
		{"an older version", func() error { return s.services.Update(serviceAt("a", "10.0.0.1", 3)) }},
		{"the same version", func() error { return s.services.Add(serviceAt("a", "10.0.0.1", 12)) }},
		{"what was deleted", func() error { return s.services.Add(serviceAt("b", "10.0.0.2", 4)) }},
		{"a deletion before the creation", func() error { return s.services.Delete(serviceAt("c", "10.0.0.4", 11)) }},
		{"a deletion of what is gone", func() error { return s.services.Delete(serviceAt("b", "10.0.0.2", 13)) }},
	} {
		do(t, replay.do())
		if got := s.held(); !slices.Equal(got, want) {
			t.Fatalf("after %s: %v, want %v", replay.what, got, want)
		}
	}
	// A bookmark says that nothing up to its version is to come.
	do(t, s.services.Bookmark("20"))
	do(t, s.services.Add(serviceAt("d", "10.0.0.6", 19)))
	if got := s.held(); !slices.Equal(got, want) {
		t.Fatalf("after an event from before a bookmark: %v, want %v", got, want)
	}
	do(t, s.services.Add(serviceAt("d", "10.0.0.6", 21)))
	// 9 comes before 10, though not as text.
	do(t, s.services.Replace([]any{serviceAt("a", "10.0.0.1", 8)}, "9")) // a backup was restored
	do(t, s.services.Add(serviceAt("b", "10.0.0.2", 10)))
	if got, want := s.held(), []string{"a [10.0.0.1]", "b [10.0.0.2]"}; !slices.Equal(got, want) {
		t.Fatalf("after a restored backup: %v, want %v", got, want)
	}
}

// TestAnyOrderOfReplaysEndsTheSame sends each event of a random history, and after it any number of events from before it.
func TestAnyOrderOfReplaysEndsTheSame(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type event struct {
		deleted bool
		o       *corev1.Service
	}
	for range 200 {
		s, plain := newStores(t), newStores(t)
		exists := map[string]bool{}
		var history []event
		send := func(to *stores, e event) {
			if e.deleted {
				do(t, to.services.Delete(e.o))
			} else {
				do(t, to.services.Add(e.o))
			}
		}
		for version := 1; version <= 40; version++ {
			name := fmt.Sprint("s", random.IntN(4))
			e := event{exists[name] && random.IntN(3) == 0, serviceAt(name, fmt.Sprint("10.0.0.", version), version)}
			exists[name] = !e.deleted
			history = append(history, e)
			send(s, e)
			send(plain, e)
			for range random.IntN(4) {
				send(s, history[random.IntN(len(history))])
			}
			if got, want := s.held(), plain.held(); !slices.Equal(got, want) {
				t.Fatalf("after version %d: %v, want %v", version, got, want)
			}
		}
	}
}

// TestRelistIsNeverBlank reads names that exist throughout, a million times at least, while lists come one after the other. Each list
// has another version of some objects and leaves out others.
func TestRelistIsNeverBlank(t *testing.T) {
	const kept, others = 50, 50
	s := newStores(t)
	list := func(round int) {
		var spaces, services, endpoints []any
		spaces = append(spaces, namespaceAt("prod", 1))
		for i := range kept + others {
			name := fmt.Sprint("s", i)
			if i >= kept && (i+round)%3 == 0 {
				continue
			}
			address := "None"
			if i%2 == 0 {
				address = fmt.Sprint("10.0.0.", i)
			}
			version := 1
			if (i+round)%2 == 0 {
				version = round + 1
			}
			services = append(services, serviceAt(name, address, version))
			endpoints = append(endpoints, sliceAt(name, fmt.Sprint("10.1.", round%200, ".", i), round+1)) // moves at each round
		}
		// As the reflectors do, each for itself.
		for _, kind := range []struct {
			to   *store
			list []any
		}{{s.slices, endpoints}, {s.namespaces, spaces}, {s.services, services}} {
			do(t, kind.to.Replace(kind.list, fmt.Sprint(1000+round)))
		}
	}
	list(0)
	s.publish(time.Now())

	var names [kept]wire.QName
	for i := range names {
		name := fmt.Sprint("s", i)
		names[i].SetString(string(byte(len(name))) + name + "\x04prod\x03svc\x07cluster\x05local\x00")
	}
	const reads, enough = 1_000_000, 50
	var readers sync.WaitGroup
	var read, absent atomic.Int64
	var done atomic.Bool
	for range 2 {
		// The publisher, at any moment that the lock allows. There are two, so that one is always there to take it.
		readers.Go(func() {
			for !done.Load() {
				s.publish(time.Now())
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			var m zones.Match
			for i := 0; !done.Load(); i++ {
				if s.index.Snapshot().Lookup(&m, &names[i%kept], 2, zones.PodsDisabled); m.Outcome != zones.Found {
					absent.Add(1)
				}
				read.Add(1)
			}
		})
	}
	rounds := 1
	for ; rounds < enough || read.Load() < reads; rounds++ {
		list(rounds)
	}
	done.Store(true)
	readers.Wait()
	t.Logf("%d reads during %d lists: %d absent", read.Load(), 3*rounds, absent.Load())
	if absent.Load() > 0 {
		t.Errorf("%d answers lacked a name that exists throughout", absent.Load())
	}
}
