package watch

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// raced reports whether the race detector is on.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// fewer is n, and less under the race detector, by which everything is slow.
func fewer(n, by int) int {
	if raced() {
		return n / by
	}
	return n
}

// A history is a cluster to which one event happens after the other. What it looks like after k events follows from k alone: the k-th
// event is about one of the subjects in turn, and gives it addresses, hosts and ports that no other event gives.
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

// lastOf is the last of the first k events that was about a subject; the state before all of them counts as one about each.
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
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: eventPort(event)}, {Name: "dns", Protocol: corev1.ProtocolUDP, Port: eventPort(event + 1)}}
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

	put(namespacesOf, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "prod", ResourceVersion: "1", Labels: map[string]string{"team": "a"}}})
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
	put(namespacesOf, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team", ResourceVersion: metaOf("", "", e).ResourceVersion,
		Labels: map[string]string{"team": []string{"a", "b"}[round(e)%2]}}})
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
		s.Spec.ClusterIPs, s.Spec.Type, s.Spec.ExternalName = nil, corev1.ServiceTypeExternalName, "one.team.svc.cluster.local"
	}
	put(servicesOf, s)

	e = at(relisted)
	put(servicesOf, eventService("prod", "pair-0", start, "None"))
	put(servicesOf, eventService("prod", "pair-1", start, "None"))
	for i := range 2 {
		slice := eventSlice("prod", "pair-"+strconv.Itoa((i+round(e))%2)+"-"+strconv.Itoa(number(e)), "pair-"+strconv.Itoa(i), relisted, start-(i+round(e))%2*subjects+subjects)
		slice.ResourceVersion = metaOf("", "", e).ResourceVersion
		put(slicesOf, slice)
	}
	return w
}

// happen tells the stores of the k-th event, counted from 0.
func happen(t *testing.T, stores *[kindsOf]*store, k int) {
	now := historyAt(k + 1)
	slice := func(name string) metav1.Object { return now[slicesOf][key{"prod", name}] }
	version := metaOf("", "", k).ResourceVersion
	switch k % subjects {
	case webService, changed:
		name := map[int]string{webService: "web", changed: "changed"}[k%subjects]
		must(t, stores[servicesOf].Update(now[servicesOf][key{"prod", name}]))
	case webSlice:
		must(t, stores[slicesOf].Update(slice("web")))
	case dbSlice:
		must(t, stores[slicesOf].Update(slice("db")))
	case moved:
		must(t, stores[slicesOf].Update(slice("moved")))
	case gone:
		if o := now[servicesOf][key{"prod", "gone"}]; o != nil {
			must(t, stores[servicesOf].Add(o))
		} else {
			must(t, stores[servicesOf].Delete(eventService("prod", "gone", k, "None")))
		}
	case hidden:
		must(t, stores[namespacesOf].Update(now[namespacesOf][key{name: "team"}]))
	case relisted:
		must(t, stores[slicesOf].Replace(listOf(now[slicesOf]), version))
	}
}

func listOf(objects map[key]metav1.Object) (list []any) {
	for _, o := range objects {
		list = append(list, o)
	}
	return list
}

// newHistory is a server that has read the cluster before the first event.
func newHistory(t *testing.T) (*state, *[kindsOf]*store, *client, Options) {
	o := Options{NamespaceLabels: "team=a"}
	m, err := newMachine(o, zones.PodsInsecure)
	must(t, err)
	for kind, objects := range historyAt(0) {
		must(t, m.stores[kind].Replace(listOf(objects), "1"))
	}
	m.state.publish(time.Unix(1, 0))
	return m.state, &m.stores, m.client, o
}

// historyNames are the names that events are about; those with %d have the event's number in them.
var historyNames = [subjects][]string{
	webService: {"web.prod", "_http._tcp.web.prod", "_dns._udp.web.prod"},
	webSlice:   {"host-%d.web.prod", "web.prod"},
	dbSlice:    {"db.prod", "_http._tcp.db.prod", "_tcp.db.prod", "host-%d.db.prod"},
	moved:      {"left.prod", "right.prod", "_http._tcp.left.prod", "_http._tcp.right.prod", "host-%d.left.prod", "host-%d.right.prod"},
	gone:       {"gone.prod", "_http._tcp.gone.prod", "host-0.gone.prod"},
	hidden:     {"one.team", "two.team", "three.team", "team", "_http._tcp.three.team"},
	changed:    {"changed.prod", "_http._tcp.changed.prod", "host-0.changed.prod"},
	relisted:   {"pair-0.prod", "pair-1.prod", "_http._tcp.pair-0.prod", "_http._tcp.pair-1.prod"},
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

var concurrentEvents = flag.Int("concurrent.events", 2000, "events during which TestAnswersAreOfOneMoment reads")

// progress is how far a writer has come. An answer between two looks at it is of a state from published to begun.
type progress struct{ begun, applied, published atomic.Int64 }

// TestAnswersAreOfOneMoment reads while events happen. Every answer must be that of the cluster between two events, whole: the naive
// index says what it is after each event. And for each reader these moments come in their order, whatever it asks, forward or reverse.
func TestAnswersAreOfOneMoment(t *testing.T) {
	events := fewer(*concurrentEvents, 2)
	s, stores, client, options := newHistory(t)
	var at progress
	var reads, between atomic.Int64
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			r := &historyReader{client: client.another(), at: &at, options: options, random: rand.New(rand.NewPCG(uint64(i), 1))}
			for at.published.Load() < int64(events) && !t.Failed() {
				if err := r.read(); err != nil {
					t.Error(err)
				}
			}
			reads.Add(r.reads)
			between.Add(r.between)
		})
	}
	done := publishing(s, &at)
	for k := range events {
		at.begun.Store(int64(k + 1))
		happen(t, stores, k)
		at.applied.Store(int64(k + 1))
		for late := int64(k % 3); at.published.Load() < int64(k+1)-late && !t.Failed(); { // some are published together
			runtime.Gosched()
		}
		if t.Failed() {
			break
		}
	}
	for at.published.Load() < int64(events) && !t.Failed() {
		runtime.Gosched()
	}
	readers.Wait()
	done()
	t.Logf("%d events, %d answers, %d of them while an event was under way", events, reads.Load(), between.Load())
}

// TestSnapshotsAreWhole looks at the index all the time while events happen. Whatever it holds, however shortly, says the same forward
// and in reverse.
func TestSnapshotsAreWhole(t *testing.T) {
	events := fewer(*concurrentEvents, 2) * 2
	s, stores, _, _ := newHistory(t)
	var over atomic.Bool
	var seen int
	var reader sync.WaitGroup
	reader.Go(func() {
		var last *zones.Snapshot
		for !over.Load() && !t.Failed() {
			if now := s.index.Snapshot(); now != last {
				last = now
				seen++
				if err := whole(now); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for k := 0; k < events && !t.Failed(); k++ {
		happen(t, stores, k)
		s.publish(time.Unix(1, 0))
	}
	over.Store(true)
	reader.Wait()
	t.Logf("%d events, %d snapshots seen", events, seen)
}

// whole reports what a snapshot says forward and not in reverse, or the other way round. No address of a history is a cluster IP and
// an endpoint at once, so that the PTR records of each are those of the SRV records' targets.
func whole(s *zones.Snapshot) error {
	svc := "\x03svc\x07cluster\x05local\x00"
	addresses, targets, pointers := map[string][]string{}, map[string]bool{}, map[string]bool{}
	s.Contents(svc, func(owner []byte, typ wire.Type, data []byte) bool {
		switch typ {
		case wire.TypeA, wire.TypeAAAA:
			addr, _ := netip.AddrFromSlice(data)
			addresses[string(owner)] = append(addresses[string(owner)], reverseOf(addr))
		case wire.TypeSRV:
			targets[string(data[6:])] = true
		}
		return true
	})
	for _, zone := range []string{"\x07in-addr\x04arpa\x00", "\x03ip6\x04arpa\x00"} {
		s.Pointers([]byte(zone), svc, func(owner []byte, _ wire.Type, data []byte) bool {
			pointers[wire.NameString(owner)+" "+wire.NameString(data)] = true
			return true
		})
	}
	for target := range targets {
		for _, reverse := range addresses[target] {
			pointer := reverse + " " + wire.NameString([]byte(target))
			if !pointers[pointer] {
				return fmt.Errorf("a snapshot lacks the PTR record %s", pointer)
			}
			delete(pointers, pointer)
		}
	}
	for pointer := range pointers {
		return fmt.Errorf("a snapshot has the PTR record %s and not the address", pointer)
	}
	return nil
}

// publishing publishes until the function that it returns is called.
func publishing(s *state, at *progress) func() {
	return looping(func() {
		applied := at.applied.Load()
		s.publish(time.Unix(1, 0))
		at.published.Store(applied)
		runtime.Gosched()
	})
}

// looping calls each of work again and again, until the function that it returns is called.
func looping(work ...func()) func() {
	var over atomic.Bool
	var running sync.WaitGroup
	for _, work := range work {
		running.Go(func() {
			for !over.Load() {
				work()
			}
		})
	}
	return func() {
		over.Store(true)
		running.Wait()
	}
}

// historyReader is one reader of a history.
type historyReader struct {
	*client
	at             *progress
	options        Options
	random         *rand.Rand
	moment         int // the earliest that agrees with all that it has read
	serial         uint32
	reads, between int64
	models         [16]struct {
		k int
		*naive
	}
}

// read asks one question.
func (r *historyReader) read() error {
	event := max(0, int(r.at.begun.Load())-1+r.random.IntN(2)-r.random.IntN(2)*subjects)
	if r.random.IntN(4) == 0 {
		event = max(0, event-r.random.IntN(subjects))
	}
	q := drawQuery(r.random, event)
	r.moment = max(r.moment, int(r.at.published.Load()))
	got, serial, err := r.ask(&q)
	last := int(r.at.begun.Load())
	if err != nil {
		return fmt.Errorf("%s %s: %w", q.name, dns.TypeToString[q.typ], err)
	}
	if serial > 0 && serial < r.serial {
		return fmt.Errorf("%s %s: serial %d after %d", q.name, dns.TypeToString[q.typ], serial, r.serial)
	}
	r.serial = max(r.serial, serial)
	r.reads++
	if last > r.moment {
		r.between++
	}
	for k := r.moment; k <= last; k++ {
		if r.model(k).ask(q.name, q.typ).matches(got) {
			r.moment = k
			return nil
		}
	}
	text := fmt.Sprintf("%s %s: %+v\nis of no moment from %d on:", q.name, dns.TypeToString[q.typ], got, r.moment)
	for k := r.moment; k <= min(last, r.moment+3); k++ {
		text += fmt.Sprintf("\nafter %d events: %+v", k, r.model(k).ask(q.name, q.typ))
	}
	return fmt.Errorf("%s\nlast: %d", text, last)
}

// model is the naive index after k events.
func (r *historyReader) model(k int) *naive {
	kept := &r.models[k%len(r.models)]
	if kept.naive == nil || kept.k != k {
		kept.k, kept.naive = k, &naive{world: historyAt(k), options: r.options, pods: zones.PodsInsecure, local: modelServer, read: [kindsOf]bool{true, true, true, true}}
	}
	return kept.naive
}

var stayReads = flag.Int("stay.reads", 1_000_000, "answers that TestRelistHidesNothing reads")

// TestRelistHidesNothing reads names that exist throughout, as a client does, while every kind is listed again and again: with the same
// objects, with fewer, with more, and with slices that have taken over from others.
func TestRelistHidesNothing(t *testing.T) {
	const kept, others = 24, 40
	m, err := newMachine(Options{VerifyPods: true, IgnoreEmpty: true}, zones.PodsVerified)
	must(t, err)
	var queries []query
	ask := func(name string, types ...uint16) {
		for _, typ := range types {
			queries = append(queries, newQuery(name, typ))
		}
	}
	for i := range kept {
		self, addr := fmt.Sprintf("s%d.prod.%s", i, svcZone), fmt.Sprintf("10.1.0.%d", i)
		ask(self, dns.TypeA, dns.TypeSRV)
		ask("_http._tcp."+self, dns.TypeA, dns.TypeSRV)
		ask("stays."+self, dns.TypeA)
		ask(reverseOf(netip.MustParseAddr(addr)), dns.TypePTR)
		ask(dashes(netip.MustParseAddr(addr))+".prod.pod."+clusterZone, dns.TypeA)
	}
	exists := newQuery("prod."+svcZone, dns.TypeA)

	list := func(round int) (w world) {
		w = newWorld()
		put := func(kind int, o metav1.Object) { w[kind][keyOf(o)] = o }
		put(namespacesOf, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "prod", ResourceVersion: "1"}})
		for i := range kept + others {
			if i >= kept && (round%3 == 1 || i%2 == 0 && round%3 == 2) {
				continue
			}
			ip, version := "None", 1
			if i%2 == 1 {
				ip = fmt.Sprintf("10.96.0.%d", i)
			}
			if (i+round)%4 == 0 && round%5 != 0 {
				version = round
			}
			name := fmt.Sprintf("s%d", i)
			put(servicesOf, eventService("prod", name, version, ip))
			slice := eventSlice("prod", name, name, webSlice, version) // of another generation at times: under another name
			if version > 1 {
				slice.Name += "-" + strconv.Itoa(version)
			}
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.0.%d", i)}, Hostname: to("stays")})
			put(slicesOf, slice)
			pod := &corev1.Pod{ObjectMeta: metaOf("prod", slice.Name, version)}
			pod.Status.PodIPs = []corev1.PodIP{{IP: fmt.Sprintf("10.1.0.%d", i)}}
			put(podsOf, pod)
		}
		return w
	}
	lists := 0
	relist := func() {
		for kind, objects := range list(lists) {
			must(t, m.stores[kind].Replace(listOf(objects), strconv.Itoa(lists+1)))
		}
		lists++
	}
	relist()
	m.state.publish(time.Unix(1, 0))

	reads := int64(fewer(*stayReads, 10))
	var left, lost atomic.Int64
	var over atomic.Bool
	left.Store(reads)
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			c := m.client.another()
			for n := i; !over.Load(); n++ {
				left.Add(-1)
				q := &queries[n%len(queries)]
				if n%100 == 0 {
					q = &exists
				}
				reply, err := c.send(q.packet)
				if err != nil || reply[3]&15 != dns.RcodeSuccess || q != &exists && reply[6] == 0 && reply[7] == 0 {
					lost.Add(1)
					if lost.Load() < 5 {
						t.Errorf("%s %s is absent (%v, rcode %d)", q.name, dns.TypeToString[q.typ], err, reply[3]&15)
					}
				}
			}
		})
	}
	// A lock that somebody has waited for longer than a millisecond goes to who has waited longest (sync.Mutex). So whenever the lists let
	// go of it, one of the publishers has it next.
	publish := func() { m.state.publish(time.Unix(1, 0)) }
	hold := func() {
		m.state.mu.Lock()
		time.Sleep(1200 * time.Microsecond)
		m.state.mu.Unlock()
	}
	done := looping(publish, publish, hold)
	for (left.Load() > 0 || lists < fewer(40, 2)) && !t.Failed() {
		relist()
		runtime.Gosched()
	}
	over.Store(true)
	readers.Wait()
	done()
	t.Logf("%d reads during %d lists of each kind: %d absent", reads-left.Load(), lists, lost.Load())
}
