package watch

import (
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// TestRelistMakesNoCopies reads a list again, of which one object has changed.
func TestRelistMakesNoCopies(t *testing.T) {
	s, err := newState(Options{}, zones.NewIndex(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	services := newStore(s, resourceOf(zones.Services), newAlive("services"))
	list := func(versions map[string]string) {
		t.Helper()
		var stripped []any
		for name, version := range versions {
			o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "prod", Name: name, ResourceVersion: version}}
			n, err := services.Transformer()(o)
			if err != nil {
				t.Fatal(err)
			}
			stripped = append(stripped, n)
		}
		if err := services.Replace(stripped, "9"); err != nil {
			t.Fatal(err)
		}
	}
	web, db, gone := object.Key{
		Namespace: "prod",
		Name:      "web",
	}, object.Key{
		Namespace: "prod",
		Name:      "db",
	}, object.Key{
		Namespace: "prod",
		Name:      "gone",
	}
	list(map[string]string{"web": "1", "db": "2", "gone": "3"})
	oldWeb, oldDB := s.services.byKey[web], s.services.byKey[db]
	clear(s.dirty)
	list(map[string]string{"web": "1", "db": "4"})
	if s.services.byKey[web] != oldWeb {
		t.Error("an object at the same version was copied")
	}
	if s.services.byKey[db] == oldDB || s.services.byKey[db].Version != "4" {
		t.Errorf("an object that has changed is held as %+v", s.services.byKey[db])
	}
	_, dirtyWeb := s.dirty[web]
	_, dirtyGone := s.dirty[gone]
	if dirtyWeb || !dirtyGone || s.services.byKey[gone] != nil || len(s.dirty) != 2 {
		t.Errorf("dirty %v", s.dirty)
	}
}

var stayReads = flag.Int(
	"stay.reads",
	1_000_000,
	"answers that TestRelistHidesNothing reads, at least; -race takes a tenth",
)

// A cluster has services that exist throughout, kept, and others that come and go.
const kept, others = 24, 40

func keptAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}) }

// keptQueries ask for what exists throughout: names of each kept service, an address of it, and a pod's.
func keptQueries() (list []query) {
	for i := range kept {
		self, addr := fmt.Sprintf("s%d.prod.%s", i, svcZone), keptAddress(i)
		list = append(
			list,
			newQuery(self, dns.TypeA),
			newQuery(self, dns.TypeSRV),
			newQuery(
				"_http._tcp."+self,
				dns.TypeA,
			),
			newQuery("_http._tcp."+self, dns.TypeSRV),
			newQuery("stays."+self, dns.TypeA),
			newQuery(reverseOf(addr), dns.TypePTR),
			newQuery(dashes(addr)+".prod.pod."+clusterZone, dns.TypeA),
		)
	}
	return list
}

// keptAt is the cluster as the lists of a round have it: sometimes the same objects, sometimes fewer, sometimes slices
// and pods of other names that have taken over.
func keptAt(round int) world {
	w := newWorld()
	w[namespacesOf][object.Key{Name: "prod"}] = namespaceAt("prod", 1)
	for i := range kept + others {
		if i >= kept && (round%3 == 1 || i%2 == 0 && round%3 == 2) {
			continue
		}
		ip, version, name := "None", 1, fmt.Sprintf("s%d", i)
		if i%2 == 1 {
			ip = fmt.Sprintf("10.96.0.%d", i)
		}
		if (i+round)%4 == 0 && round%5 != 0 {
			version = round
		}
		w[servicesOf][object.Key{Namespace: "prod", Name: name}] = eventService("prod", name, version, ip)
		slice := eventSlice("prod", name+"-"+strconv.Itoa(version), name, webSlice, version)
		slice.Endpoints = append(
			slice.Endpoints,
			discoveryv1.Endpoint{Addresses: []string{keptAddress(i).String()}, Hostname: to("stays")},
		)
		w[slicesOf][keyOf(slice)] = slice
		pod := &corev1.Pod{ObjectMeta: metaOf("prod", slice.Name, version)}
		pod.Status.PodIPs = []corev1.PodIP{{IP: keptAddress(i).String()}}
		w[podsOf][keyOf(pod)] = pod
	}
	return w
}

// TestRelistHidesNothing reads names that exist throughout, as a client does, while every kind is listed again and
// again.
func TestRelistHidesNothing(t *testing.T) {
	f, err := newFollower(Options{Selection: object.Selection{VerifyPods: true}, IgnoreEmpty: true}, zones.PodsVerified)
	must(t, err)
	asking, err := newClient(f.state.index, nil, zones.PodsVerified)
	must(t, err)
	lists := 0
	relist := func() {
		must(t, f.list(keptAt(lists), strconv.Itoa(lists+1)))
		lists++
	}
	relist()
	f.publish()

	var reads, absent atomic.Int64
	var readers []func()
	queries := keptQueries()
	for i := range 3 {
		c, n := asking.another(), i
		readers = append(readers, func() {
			n++
			q := &queries[n%len(queries)]
			reply, err := c.send(q.packet)
			if (err != nil || reply[3]&15 != dns.RcodeSuccess || reply[6] == 0 && reply[7] == 0) && absent.Add(1) < 5 {
				t.Errorf("%v is absent: %v", q, err)
			}
			reads.Add(1)
		})
	}
	// A lock that somebody has waited for longer than a millisecond goes to who has waited longest (sync.Mutex). So
	// whenever the lists let go of it, one of the publishers has it next.
	hold := func() {
		f.state.mu.Lock()
		time.Sleep(1200 * time.Microsecond)
		f.state.mu.Unlock()
	}
	done := looping(append(readers, f.publish, f.publish, hold)...)
	for enough := int64(fewer(*stayReads, 10)); (reads.Load() < enough || lists < 40) && !t.Failed(); {
		relist()
		runtime.Gosched()
	}
	done()
	t.Logf("%d reads during %d lists of each kind: %d absent", reads.Load(), lists, absent.Load())
}
