package watch

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// A history is a cluster to which one event happens after the other. What it looks like after k events follows from k
// alone: the k-th event is about one of the subjects in turn, and gives it addresses, hosts and ports that no other
// event gives.
const (
	webService = iota // both cluster IPs and both ports of a service change
	webSlice          // endpoints of a service with cluster IPs
	dbSlice           // endpoints of a headless service: addresses, a hostname, the port
	moved             // a slice goes from one headless service to the other
	gone              // a headless service is deleted, or made again
	hidden            // a namespace is hidden with three services, or shown
	changed           // a service gets cluster IPs, becomes headless, becomes an alias
	relisted          // all slices are listed: two services have exchanged their endpoints
	subjects
)

// lastOf is the last of the first k events that was about a subject; the state before all of them counts as one about
// each.
func lastOf(subject, k int) int { return (k+subjects-1-subject)/subjects*subjects + subject - subjects }

// number is one that no other event has, for its subject, and is not negative.
func number(event int) int { return event + subjects }

func eventV4(subject, event, i int) string {
	n := number(event)
	return fmt.Sprintf("10.%d.%d.%d", 100+subject*4+i, n>>8&255, n&255)
}

func eventV6(subject, event, i int) string {
	return netip.MustParseAddr(fmt.Sprintf("fd00:%x:%x::%x", subject, i, number(event)+1)).String()
}

func eventPort(event int) int32 { return int32(1 + number(event)%60000) }

func metaOf(namespace, name string, event int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: strconv.Itoa(number(event) + 1)}
}

func eventService(namespace, name string, event int, ips ...string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metaOf(namespace, name, event)}
	s.Spec.ClusterIPs = ips
	s.Spec.Ports = []corev1.ServicePort{
		{Name: "http", Protocol: corev1.ProtocolTCP, Port: eventPort(event)},
		{Name: "dns", Protocol: corev1.ProtocolUDP, Port: eventPort(event + 1)},
	}
	return s
}

// eventSlice is a slice of three endpoints; two of them share a hostname.
func eventSlice(namespace, name, service string, subject, event int) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: metaOf(namespace, name, event), AddressType: discoveryv1.AddressTypeIPv4}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	s.Ports = []discoveryv1.EndpointPort{{Name: to("http"), Protocol: to(corev1.ProtocolTCP), Port: to(eventPort(event))}}
	for i := range 3 {
		e := discoveryv1.Endpoint{Addresses: []string{eventV4(subject, event, i)}}
		if i > 0 {
			e.Hostname = to("host-" + strconv.Itoa(number(event)))
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

// round is how often the events had been about every subject.
func round(event int) int { return number(event) / subjects }

// historyAt is the cluster after k events.
func historyAt(k int) world {
	w := newWorld()
	at := func(subject int) int { return lastOf(subject, k) }
	put := func(kind int, o metav1.Object) { w[kind][keyOf(o)] = o }
	start := lastOf(0, 0)

	put(
		namespacesOf,
		&corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: "prod", ResourceVersion: "1", Labels: map[string]string{"team": "a"}},
		},
	)
	e := at(webService)
	put(servicesOf, eventService("prod", "web", e, eventV4(webService, e, 0), eventV6(webService, e, 0)))
	put(slicesOf, eventSlice("prod", "web", "web", webSlice, at(webSlice)))
	put(servicesOf, eventService("prod", "db", start, "None"))
	put(slicesOf, eventSlice("prod", "db", "db", dbSlice, at(dbSlice)))

	e = at(moved)
	put(servicesOf, eventService("prod", "left", start, "None"))
	put(servicesOf, eventService("prod", "right", start, "None"))
	put(slicesOf, eventSlice("prod", "moved", []string{"left", "right"}[round(e)%2], moved, e))

	put(slicesOf, eventSlice("prod", "gone", "gone", gone, start))
	if e = at(gone); round(e)%2 == 0 {
		put(servicesOf, eventService("prod", "gone", e, "None"))
	}

	e = at(hidden)
	put(
		namespacesOf,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team", ResourceVersion: metaOf("", "", e).ResourceVersion,
			Labels: map[string]string{"team": []string{"a", "b"}[round(e)%2]}}},
	)
	put(servicesOf, eventService("team", "one", start, "10.250.0.1"))
	put(servicesOf, eventService("team", "two", start, "10.250.0.2", "fd00:250::2"))
	put(servicesOf, eventService("team", "three", start, "None"))
	put(slicesOf, eventSlice("team", "three", "three", hidden, start))

	put(slicesOf, eventSlice("prod", "changed", "changed", changed, start))
	s := eventService("prod", "changed", at(changed), "None")
	switch round(at(changed)) % 3 {
	case 1:
		s.Spec.ClusterIPs = []string{eventV4(changed, at(changed), 3)}
	case 2:
		s.Spec.ClusterIPs, s.Spec.Type = nil, corev1.ServiceTypeExternalName
		s.Spec.ExternalName = "one.team.svc.cluster.local"
	}
	put(servicesOf, s)

	e = at(relisted)
	put(servicesOf, eventService("prod", "pair-0", start, "None"))
	put(servicesOf, eventService("prod", "pair-1", start, "None"))
	for i := range 2 {
		slice := eventSlice(
			"prod",
			"pair-"+strconv.Itoa((i+round(e))%2)+"-"+strconv.Itoa(number(e)),
			"pair-"+strconv.Itoa(i),
			relisted,
			start-(i+round(e))%2*subjects+subjects,
		)
		slice.ResourceVersion = metaOf("", "", e).ResourceVersion
		put(slicesOf, slice)
	}
	return w
}

// happen tells the stores of the k-th event, counted from 0.
func happen(t *testing.T, stores *[kindsOf]*store, k int) {
	now := historyAt(k + 1)
	slice := func(name string) metav1.Object { return now[slicesOf][object.Key{Namespace: "prod", Name: name}] }
	version := metaOf("", "", k).ResourceVersion
	switch k % subjects {
	case webService, changed:
		name := map[int]string{webService: "web", changed: "changed"}[k%subjects]
		must(t, stores[servicesOf].Update(now[servicesOf][object.Key{Namespace: "prod", Name: name}]))
	case webSlice:
		must(t, stores[slicesOf].Update(slice("web")))
	case dbSlice:
		must(t, stores[slicesOf].Update(slice("db")))
	case moved:
		must(t, stores[slicesOf].Update(slice("moved")))
	case gone:
		if o := now[servicesOf][object.Key{Namespace: "prod", Name: "gone"}]; o != nil {
			must(t, stores[servicesOf].Add(o))
		} else {
			must(t, stores[servicesOf].Delete(eventService("prod", "gone", k, "None")))
		}
	case hidden:
		must(t, stores[namespacesOf].Update(now[namespacesOf][object.Key{Name: "team"}]))
	case relisted:
		must(t, stores[slicesOf].Replace(listOf(now[slicesOf]), version))
	}
}

func listOf(objects map[object.Key]metav1.Object) (list []any) {
	for _, o := range objects {
		list = append(list, o)
	}
	return list
}

// newHistory is a server that has read the cluster before the first event.
func newHistory(t *testing.T) (*state, *[kindsOf]*store, *client, Options) {
	o := Options{Selection: object.Selection{NamespaceLabels: "team=a"}}
	f, err := newFollower(o, zones.PodsInsecure)
	must(t, err)
	must(t, f.list(historyAt(0), "1"))
	f.publish()
	c, err := newClient(f.state.index, nil, zones.PodsInsecure)
	must(t, err)
	return f.state, &f.stores, c, o
}

// historyNames are the names that events are about; those with %d have the event's number in them.
var historyNames = [subjects][]string{
	webService: {"web.prod", "_http._tcp.web.prod", "_dns._udp.web.prod"},
	webSlice:   {"host-%d.web.prod", "web.prod"},
	dbSlice:    {"db.prod", "_http._tcp.db.prod", "_tcp.db.prod", "host-%d.db.prod"},
	moved: {
		"left.prod",
		"right.prod",
		"_http._tcp.left.prod",
		"_http._tcp.right.prod",
		"host-%d.left.prod",
		"host-%d.right.prod",
	},
	gone:     {"gone.prod", "_http._tcp.gone.prod", "host-0.gone.prod"},
	hidden:   {"one.team", "two.team", "three.team", "team", "_http._tcp.three.team"},
	changed:  {"changed.prod", "_http._tcp.changed.prod", "host-0.changed.prod"},
	relisted: {"pair-0.prod", "pair-1.prod", "_http._tcp.pair-0.prod", "_http._tcp.pair-1.prod"},
}

// historyAddresses are the addresses that an event gives or takes.
func historyAddresses(subject, event int) []string {
	start := lastOf(0, 0)
	switch subject {
	case webService:
		return []string{eventV4(subject, event, 0), eventV6(subject, event, 0)}
	case gone:
		return []string{eventV4(subject, start, 0), eventV4(subject, start, 1)}
	case hidden:
		return []string{"10.250.0.1", "10.250.0.2", "fd00:250::2", eventV4(hidden, start, 0)}
	case changed:
		return []string{eventV4(subject, start, 0), eventV4(subject, event, 3)}
	case relisted:
		return []string{eventV4(relisted, start, 1), eventV4(relisted, start+subjects, 1), eventV4(relisted, start, 0)}
	}
	return []string{eventV4(subject, event, 0), eventV4(subject, event, 1), eventV4(subject, event, 2)}
}

// drawQuery is a question about what the event does, or about its reverse.
func drawQuery(random *rand.Rand, event int) query {
	subject := event % subjects
	if random.IntN(5) < 2 {
		addresses := historyAddresses(subject, event)
		return newQuery(reverseOf(netip.MustParseAddr(addresses[random.IntN(len(addresses))])), dns.TypePTR)
	}
	names := historyNames[subject]
	name := names[random.IntN(len(names))]
	if strings.Contains(name, "%d") {
		name = fmt.Sprintf(name, number(event))
	}
	types := []uint16{dns.TypeA, dns.TypeSRV, dns.TypeA, dns.TypeSRV, dns.TypeAAAA, dns.TypeANY}
	return newQuery(name+"."+svcZone, types[random.IntN(len(types))])
}
