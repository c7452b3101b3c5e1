package watch

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// wide is a headless service with count slices of so many endpoints each, and of the ports for which has says so.
func wide(count, endpoints, ports int, has func() bool) (*object.Service, []*object.Slice) {
	meta := func(name string) metav1.ObjectMeta {
		labels := map[string]string{discoveryv1.LabelServiceName: "web"}
		return metav1.ObjectMeta{Namespace: "prod", Name: name, Labels: labels}
	}
	s, _ := object.StripService(&corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{ClusterIP: "None"}})
	var list []*object.Slice
	for i := range count {
		o := &discoveryv1.EndpointSlice{ObjectMeta: meta(fmt.Sprint("web-", i)), AddressType: "IPv4"}
		for port := range ports {
			if has() {
				p := discoveryv1.EndpointPort{Name: to(fmt.Sprint("p", port)), Port: to(int32(port + 1))}
				o.Ports = append(o.Ports, p)
			}
		}
		for e := range endpoints {
			e += i * endpoints
			o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprint("10.1.", e>>8, ".", e&255)}})
		}
		sl, _ := object.StripSlice(o, object.Selection{})
		list = append(list, sl)
	}
	return s, list
}

// A service costs memory in proportion to its objects, also while it is compiled: endpoints and ports, not endpoints
// times ports.
func TestCompilingIsLinear(t *testing.T) {
	allocated := func(n int) uint64 {
		s, list := wide(1, n, n, func() bool { return true })
		var b zones.Builder
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := compile(&b, s, list, Options{}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	one, two := allocated(500), allocated(1000)
	if t.Logf("500 x 500: %d octets, 1000 x 1000: %d", one, two); two > 3*one || two > 8<<20 {
		t.Errorf("500 x 500 take %d octets, 1000 x 1000 %d", one, two)
	}
}

// Slices whose endpoints and ports are combined in very many ways give no names, and the reason is in the EDE.
func TestTooManyCombinations(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	s, list := wide(10, 300, 1000, func() bool { return random.IntN(2) == 0 })
	r, err := compile(new(zones.Builder), s, list, Options{})
	if !errors.Is(err, errCombinations) {
		t.Fatal(err)
	}
	if want := "service prod/web: its endpoints and ports make too many combinations"; r.Why() != want {
		t.Errorf("why %q, want %q", r.Why(), want)
	}
}
