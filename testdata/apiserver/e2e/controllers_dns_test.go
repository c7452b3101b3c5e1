package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPodsComeAndGo follows what the controllers make of the ends of pods. Their
// ordinary lives are in services_test.go.
func TestPodsComeAndGo(t *testing.T) {
	c := startCluster(t)
	s := startServer(t, c.kubeconfig(""), clusterCorefile)
	c.startControllers(t)
	s.awaitServing(t, 30*time.Second)
	// Behind each pod are a service of each kind, and one for those who want to
	// know of it whatever its state.
	for _, service := range []*corev1.Service{clusterIP("front", "10.96.1.70"), headless("db"), headless("all")} {
		service.Spec.Selector = map[string]string{"app": "db"}
		service.Spec.PublishNotReadyAddresses = service.Name == "all"
		createService(t, c, service)
	}
	const (
		db, front, all = "db.default.svc.cluster.local. A", "10-244-2-1.front.default.svc.cluster.local. A", "all.default.svc.cluster.local. A"
		none           = "service default/db: 0 of 0 endpoints ready"
	)

	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"StartsSlowly", func(t *testing.T) {
			// Scheduled, then with an address, then ready.
			_, err := c.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "db-0", Labels: map[string]string{"app": "db"}},
				Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "main", Image: "none"}}},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			s.denies(t, db, none)
			changePodStatus(t, c, "db-0", func(status *corev1.PodStatus) {
				status.Phase, status.PodIP, status.PodIPs = corev1.PodPending, "10.244.2.1", []corev1.PodIP{{IP: "10.244.2.1"}}
			})
			s.answers(t, all, "@ A 10.244.2.1")
			s.denies(t, db, "service default/db: 0 of 1 endpoints ready")
			s.answers(t, "10-244-2-1.default.pod.cluster.local. A", "@ A 10.244.2.1")
			changePodStatus(t, c, "db-0", func(status *corev1.PodStatus) {
				status.Phase = corev1.PodRunning
				status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			})
			s.answers(t, db, "@ A 10.244.2.1")
			s.answers(t, front, "@ A 10.244.2.1")
		}},
		{"MovesToAnotherAddress", func(t *testing.T) {
			// Its sandbox was made again.
			changePodStatus(t, c, "db-0", func(status *corev1.PodStatus) {
				status.PodIP, status.PodIPs = "10.244.2.9", []corev1.PodIP{{IP: "10.244.2.9"}}
			})
			s.answers(t, db, "@ A 10.244.2.9")
			s.answers(t, "10-244-2-9.front.default.svc.cluster.local. A", "@ A 10.244.2.9")
			s.answers(t, "-x 10.244.2.9", "@ PTR 10-244-2-9.front.default.svc.cluster.local.",
				"@ PTR 10-244-2-9.db.default.svc.cluster.local.", "@ PTR 10-244-2-9.all.default.svc.cluster.local.")
			s.denies(t, "-x 10.244.2.1", nobody)
			s.denies(t, front, "service default/front: no such endpoint or named port")
			s.answers(t, "10-244-2-9.default.pod.cluster.local. A", "@ A 10.244.2.9")
			s.denies(t, "10-244-2-1.default.pod.cluster.local. A", "namespace default: no live pod has this address")
			changePodStatus(t, c, "db-0", func(status *corev1.PodStatus) {
				status.PodIP, status.PodIPs = "10.244.2.1", []corev1.PodIP{{IP: "10.244.2.1"}}
			})
			s.answers(t, db, "@ A 10.244.2.1")
		}},
		{"Terminates", func(t *testing.T) {
			// With time to end: it is there still, and not to be sent to.
			if err := c.CoreV1().Pods("default").Delete(t.Context(), "db-0", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			s.denies(t, db, "service default/db: 0 of 1 endpoints ready")
			s.denies(t, front, "service default/front: no such endpoint or named port")
			s.answers(t, all, "@ A 10.244.2.1")
			s.denies(t, "10-244-2-1.default.pod.cluster.local. A", "namespace default: no live pod has this address")
			deletePod(t, c, "db-0")
			s.denies(t, all, "service default/all: 0 of 0 endpoints ready")
			s.denies(t, db, none)
			s.denies(t, "-x 10.244.2.1", nobody)
		}},
		{"Fails", func(t *testing.T) {
			createReadyPod(t, c, "db-1", "db", "10.244.2.1")
			createReadyPod(t, c, "db-2", "db", "10.244.2.2")
			s.answers(t, db, "@ A 10.244.2.1", "@ A 10.244.2.2")
			changePodStatus(t, c, "db-1", func(status *corev1.PodStatus) {
				// The controllers look at the condition to see the change.
				status.Phase, status.Reason = corev1.PodFailed, "Evicted"
				status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
			})
			s.answers(t, db, "@ A 10.244.2.2")
			s.answers(t, all, "@ A 10.244.2.2") // it will not come back
			s.denies(t, "-x 10.244.2.1", nobody)
			s.denies(t, "10-244-2-1.default.pod.cluster.local. A", "namespace default: no live pod has this address")
		}},
		{"LeavesItsAddressToAnother", func(t *testing.T) {
			createReadyPod(t, c, "heir", "other", "10.244.2.1")
			s.answers(t, "10-244-2-1.default.pod.cluster.local. A", "@ A 10.244.2.1")
			s.answers(t, db, "@ A 10.244.2.2")
			deletePod(t, c, "db-1") // the one that had it
			createReadyPod(t, c, "db-3", "db", "10.244.2.3")
			s.answers(t, db, "@ A 10.244.2.2", "@ A 10.244.2.3") // an event behind the deletion
			s.answers(t, "10-244-2-1.default.pod.cluster.local. A", "@ A 10.244.2.1")
		}},
		{"IsNoLongerSelected", func(t *testing.T) {
			pods := c.CoreV1().Pods("default")
			pod, err := pods.Get(t.Context(), "db-3", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			pod.Labels["app"] = "debugged"
			if _, err := pods.Update(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			s.answers(t, db, "@ A 10.244.2.2")
			s.answers(t, all, "@ A 10.244.2.2")
			s.denies(t, "-x 10.244.2.3", nobody)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer c.showSlices(t)
			test.run(t)
		})
	}

	// A kubelet writes when a pod became ready, in whole seconds; that is what
	// the controllers hand on, and what the latency is counted from.
	series := func(part, kind string) float64 {
		return s.metric(t, fmt.Sprintf(`coredns_kubernetes_dns_programming_duration_seconds_%s{service_kind=%q`, part, kind))
	}
	type measure struct{ count, sum float64 }
	measured := map[string]measure{"cluster_ip": {}, "headless_with_selector": {}}
	for kind := range measured {
		measured[kind] = measure{series("count", kind), series("sum", kind)}
	}
	const flips = 4
	began := time.Now()
	for i := range flips {
		status := []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue}[i%2]
		time.Sleep(1100 * time.Millisecond) // to the next whole second
		changePodStatus(t, c, "db-2", func(o *corev1.PodStatus) {
			o.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: metav1.Now()}}
		})
		s.awaitAnswer(t, patience, "db.default.svc.cluster.local.", dns.TypeA, []func(*dns.Msg) bool{denied, answered}[i%2])
	}
	for kind, before := range measured {
		await(t, patience, "the latencies of "+kind, func() bool { return series("count", kind) >= before.count+flips })
		n, sum := series("count", kind)-before.count, series("sum", kind)-before.sum
		t.Logf("%s: %v changes were served %.1f ms after they happened, on average", kind, n, 1000*sum/n)
		if most := (time.Since(began) + time.Second).Seconds(); sum/n > most {
			t.Errorf("%s: %v changes took %v s in all, each of which was waited for", kind, n, sum)
		}
		all, count := s.metric(t, fmt.Sprintf(`coredns_kubernetes_dns_programming_duration_seconds_bucket{service_kind=%q,le="524.288"`, kind)), series("count", kind)
		if all != count {
			t.Errorf("%s: the last bucket has %v of %v", kind, all, count)
		}
	}
}

// showSlices logs the slices of a test that has failed: what the controllers
// made is where their work ends and the server's begins.
func (c *cluster) showSlices(t *testing.T) {
	if !t.Failed() {
		return
	}
	list, err := c.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Log(err)
		return
	}
	for i := range list.Items {
		t.Log(&list.Items[i])
	}
}

// BenchmarkRate makes 100 changes a second for 30 seconds, whatever the server
// does, and measures from each write until its first right answer. Each moves
// the endpoint of one of a hundred headless services. For figures run, on a
// machine that does nothing else,
//
//	go test -run '^$' -bench Rate -benchtime 1x ./e2e
func BenchmarkRate(b *testing.B) {
	const services, pause, duration = 100, 10 * time.Millisecond, 30 * time.Second
	c := startCluster(b)
	for i := range services {
		name := fmt.Sprint("rate-", i)
		createService(b, c, headless(name))
		createSlice(b, c, slice(name, name, discoveryv1.AddressTypeIPv4, ready("", "10.5.0.1")))
	}
	s := startServer(b, c.kubeconfig(""), corefile)
	s.awaitServing(b, 30*time.Second)
	var mu sync.Mutex
	var fromReply, fromRequest []time.Duration
	change := func(i int) {
		name, address := fmt.Sprint("rate-", i%services), fmt.Sprintf("10.5.%d.%d", i/250, 1+i%250)
		asked := time.Now()
		moved := slice(name, name, discoveryv1.AddressTypeIPv4, ready("", address))
		if _, err := c.DiscoveryV1().EndpointSlices("default").Update(b.Context(), moved, metav1.UpdateOptions{}); err != nil {
			b.Error(err)
			return
		}
		replied := time.Now()
		served := s.firstMoved(b, name+".default.svc.cluster.local.", address)
		mu.Lock()
		defer mu.Unlock()
		fromReply, fromRequest = append(fromReply, max(0, served.Sub(replied))), append(fromRequest, served.Sub(asked))
	}
	i := 0
	for b.Loop() {
		var running sync.WaitGroup
		tick := time.NewTicker(pause)
		for range duration / pause {
			<-tick.C
			i++
			running.Go(func() { change(i) })
		}
		tick.Stop()
		running.Wait()
	}
	report := func(what string, took []time.Duration) {
		for _, p := range []int{50, 99, 100} {
			b.ReportMetric(float64(percentile(p, took).Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", what, p))
		}
	}
	report("reply", fromReply)
	report("request", fromRequest)
	b.ReportMetric(float64(len(fromReply)), "changes")
	b.ReportMetric(0, "ns/op")
}

// firstMoved asks until a name has an address, and returns when the answer came.
// It leaves the processors to others in between.
func (s *server) firstMoved(t testing.TB, name, address string) time.Time {
	t.Helper()
	connection, err := dns.Dial("udp", s.address)
	if err != nil {
		t.Error(err)
		return time.Now()
	}
	defer connection.Close()
	client := &dns.Client{Timeout: 2 * time.Second}
	for began := time.Now(); time.Since(began) < patience; time.Sleep(200 * time.Microsecond) {
		reply, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(name, dns.TypeA), connection)
		if err == nil && len(reply.Answer) == 1 && reply.Answer[0].(*dns.A).A.String() == address {
			return time.Now()
		}
	}
	t.Errorf("%s: not %s within %v", name, address, patience)
	return time.Now()
}
