package watch

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// heldBy is how many octets a source and its index keep of count services with so many endpoints each, on as many nodes.
func heldBy(t *testing.T, o Options, count, endpoints int, headless bool) int {
	t.Helper()
	s, err := newState(o, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	stores := map[zones.Kinds]*store{}
	for _, kind := range []zones.Kinds{zones.Services, zones.Slices, zones.Namespaces} {
		stores[kind] = newStore(s, resourceOf(kind), newAlive(""))
	}
	live := func() int {
		runtime.GC()
		runtime.GC() // what the first one has only found is swept
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := live()
	fill(t, stores, count, endpoints, headless)
	<-s.listed
	s.publish(time.Unix(1, 0))
	select {
	case <-s.listed: // memory is given back
	default:
		t.Error("nobody is told that many names have been made")
	}
	after := live()
	if services, _ := s.index.Snapshot().Size(); services != count {
		t.Fatalf("%d services, want %d", services, count)
	}
	return after - before
}

// fill gives the stores what the command load of testdata/apiserver makes.
func fill(t *testing.T, stores map[zones.Kinds]*store, count, endpoints int, headless bool) {
	lists := map[zones.Kinds][]any{}
	add := func(kind zones.Kinds, o any) {
		n, err := stores[kind].Transformer()(o)
		must(t, err)
		lists[kind] = append(lists[kind], n)
	}
	add(zones.Namespaces, namespaceAt("prod", 1))
	for i := range count {
		name, ip := fmt.Sprintf("orders-api-%05d", i), fmt.Sprintf("10.100.%d.%d", i>>8, i&255)
		if headless {
			name, ip = fmt.Sprintf("store-%05d-headless", i), "None"
		}
		service := serviceAt(name, ip, i+1)
		service.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
		add(zones.Services, service)
		slice := sliceAt(name, "10.0.0.1", i+1)
		slice.Name, slice.Endpoints = name+"-00000", nil
		slice.Ports = []discoveryv1.EndpointPort{{Name: to("http"), Port: to(int32(8080))}}
		for j := range endpoints {
			n := i*endpoints + j
			e := discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", 128+n>>16, n>>8&255, n&255)},
				NodeName: to(fmt.Sprint("node-", j)), Zone: to(fmt.Sprint("zone-", j%3))}
			if headless {
				e.Hostname = to(fmt.Sprintf("%s-%d", name, j))
			}
			slice.Endpoints = append(slice.Endpoints, e)
		}
		add(zones.Slices, slice)
	}
	for kind, to := range stores {
		must(t, to.Replace(lists[kind], fmt.Sprint(count)))
	}
}

// TestTogether: many services, which several goroutines compile, have the records that they have one by one.
func TestTogether(t *testing.T) {
	s, err := newState(Options{}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	stores := map[zones.Kinds]*store{}
	for _, kind := range []zones.Kinds{zones.Services, zones.Slices, zones.Namespaces} {
		stores[kind] = newStore(s, resourceOf(kind), newAlive(""))
	}
	fill(t, stores, 5*batch/2, 3, true)
	text := func() string {
		s.publish(time.Unix(1, 0))
		var b strings.Builder
		must(t, s.index.Snapshot().WriteText(&b, "cluster.local.", 5))
		return b.String()
	}
	together := text()
	for k := range s.services.byKey {
		s.dirty[k] = struct{}{}
		s.publish(time.Unix(1, 0))
	}
	if oneByOne := text(); together != oneByOne || len(together) < 5*batch/2*3*len("A 10.0.0.1") {
		t.Errorf("together:\n%.1000s\none by one:\n%.1000s", together, oneByOne)
	}
}

// TestSize: what a service and an endpoint take in memory, objects and records, is at most what is below; docs/operations.md has it too.
// It is counted by the collector, so it is the same on each machine but for the collector's rounding.
func TestSize(t *testing.T) {
	const services, few, many = 2000, 10, 40
	placed := Options{Selection: object.Selection{Who: true}}
	for _, test := range []struct {
		name                string
		options             Options
		headless            bool
		perService, perPart int
	}{
		{"cluster IP", Options{}, false, mostPerService, mostPerEndpoint},
		{"headless, with host names", Options{}, true, mostPerService, mostPerHost},
		{"cluster IP, with places", placed, false, mostPerService, mostPerEndpoint + mostPerPlace},
		{"headless, with host names and places", placed, true, mostPerService, mostPerHost + mostPerPlace},
	} {
		small := heldBy(t, test.options, services, few, test.headless)
		large := heldBy(t, test.options, services, many, test.headless)
		perPart := (large - small) / (services * (many - few))
		perService := small/services - few*perPart
		t.Logf("%s: %d octets for each endpoint, %d for each service", test.name, perPart, perService)
		if perPart > test.perPart || perService > test.perService {
			t.Errorf("%s: %d octets for each endpoint, want at most %d; %d for each service, want at most %d",
				test.name, perPart, test.perPart, perService, test.perService)
		}
	}
}

// In octets. A change that takes less lowers them.
const (
	mostPerService  = 1200
	mostPerEndpoint = 85
	mostPerHost     = 130
	mostPerPlace    = 8 // more, where it is kept who asks
)
