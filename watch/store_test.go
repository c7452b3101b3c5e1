package watch

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
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
	of := func(kind zones.Kinds) *store { return newStore(s, resourceOf(kind), newAlive("")) }
	return &stores{s, of(zones.Services), of(zones.Slices), of(zones.Namespaces)}
}

// resourceOf is the first resource of a kind.
func resourceOf(kind zones.Kinds) *object.Resource {
	return &object.Resources[slices.IndexFunc(object.Resources, func(r object.Resource) bool { return r.Kind == kind })]
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

// must ends the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// held is the services that are held, as "name address".
func (s *stores) held() []string {
	var all []string
	for k, o := range s.state.services.byKey {
		all = append(all, fmt.Sprint(k.Name, " ", o.ClusterIPs))
	}
	slices.Sort(all)
	return all
}

// TestStaleEventsChangeNothing replays events of the past, as an API server does whose cache is behind.
func TestStaleEventsChangeNothing(t *testing.T) {
	s := newStores(t)
	must(t, s.services.Replace([]any{serviceAt("a", "10.0.0.1", 3), serviceAt("b", "10.0.0.2", 4)}, "10"))
	must(t, s.services.Update(serviceAt("a", "10.0.0.3", 12)))
	must(t, s.services.Delete(serviceAt("b", "10.0.0.2", 13)))
	must(t, s.services.Add(serviceAt("c", "10.0.0.5", 14)))
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
		must(t, replay.do())
		if got := s.held(); !slices.Equal(got, want) {
			t.Fatalf("after %s: %v, want %v", replay.what, got, want)
		}
	}
	// After a bookmark nothing up to its version is to come.
	must(t, s.services.Bookmark("20"))
	must(t, s.services.Add(serviceAt("d", "10.0.0.6", 19)))
	if got := s.held(); !slices.Equal(got, want) {
		t.Fatalf("after an event from before a bookmark: %v, want %v", got, want)
	}
	must(t, s.services.Add(serviceAt("d", "10.0.0.6", 21)))
	// 9 comes before 10, though not as text.
	must(t, s.services.Replace([]any{serviceAt("a", "10.0.0.1", 8)}, "9")) // a backup was restored
	must(t, s.services.Add(serviceAt("b", "10.0.0.2", 10)))
	if got, want := s.held(), []string{"a [10.0.0.1]", "b [10.0.0.2]"}; !slices.Equal(got, want) {
		t.Fatalf("after a restored backup: %v, want %v", got, want)
	}
	// The restored control plane gives its versions once more, to other changes.
	must(t, s.services.Replace([]any{serviceAt("a", "10.0.0.7", 8)}, "11"))
	if got, want := s.held(), []string{"a [10.0.0.7]"}; !slices.Equal(got, want) {
		t.Fatalf("after a change at a version that was given before: %v, want %v", got, want)
	}
}

// TestListAgain hands lists on as a reflector does: through a store of client-go, which asks each object for its name
// and version.
func TestListAgain(t *testing.T) {
	s := newStores(t)
	for range 2 {
		for _, list := range []struct {
			*store
			object metav1.Object
		}{
			{s.services, serviceAt("a", "10.0.0.1", 1)}, {s.slices, sliceAt("a", "10.1.0.1", 2)},
			{s.namespaces, namespaceAt("prod", 3)},
		} {
			arrived := cache.NewStore(cache.MetaNamespaceKeyFunc, cache.WithTransformer(list.Transformer()))
			must(t, arrived.Add(list.object))
			for _, o := range arrived.List() {
				m, err := meta.Accessor(o)
				must(t, err)
				if m.GetNamespace() != list.object.GetNamespace() || m.GetName() != list.object.GetName() ||
					m.GetResourceVersion() != list.object.GetResourceVersion() {
					t.Errorf("%T is %s/%s at %s, want %v", o, m.GetNamespace(), m.GetName(), m.GetResourceVersion(), list.object)
				}
			}
			must(t, list.Replace(arrived.List(), "3"))
		}
	}
	if got, want := s.held(), []string{"a [10.0.0.1]"}; !slices.Equal(got, want) {
		t.Errorf("held %v, want %v", got, want)
	}
	if len(s.state.slices.byKey) != 1 || len(s.state.namespaces.byKey) != 1 {
		t.Errorf("held %d slices, %d namespaces, want 1 and 1", len(s.state.slices.byKey), len(s.state.namespaces.byKey))
	}
}
