package e2e

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// How long it takes from the API server's reply to a write until the first
// right answer. The aim is a 99th percentile under 50 ms for each kind of
// change; for figures run, on a machine that does nothing else,
//
//	go test -run '^$' -bench Latency -benchtime 1000x ./e2e

// A change writes something and returns the question whose answer it changes,
// and what the right answer is.
type change struct {
	name  string
	write func(t testing.TB, c *cluster, s *server, i int) (name string, right func(*dns.Msg) bool)
}

var changes = []change{{"Creation", creation}, {"ReadinessFlip", readinessFlip}, {"Deletion", deletion}}

// creation makes a service, whose cluster IP the API server chooses.
func creation(t testing.TB, c *cluster, _ *server, i int) (string, func(*dns.Msg) bool) {
	service := createService(t, c, dualStack(fmt.Sprintf("new-%d", i)))
	address := net.ParseIP(service.Spec.ClusterIP)
	return service.Name + ".default.svc.cluster.local.", func(reply *dns.Msg) bool {
		return len(reply.Answer) == 1 && reply.Answer[0].(*dns.A).A.Equal(address)
	}
}

// readinessFlip makes the only endpoint of a headless service unready, or ready
// again, by an update of its slice.
func readinessFlip(t testing.TB, c *cluster, _ *server, i int) (string, func(*dns.Msg) bool) {
	const name = "flip.default.svc.cluster.local."
	if i == 0 {
		createService(t, c, headless("flip"))
		createSlice(t, c, slice("flip", "flip", discoveryv1.AddressTypeIPv4, ready("", "10.3.0.1")))
		return name, answered
	}
	if i%2 == 0 {
		updateSlice(t, c, slice("flip", "flip", discoveryv1.AddressTypeIPv4, ready("", "10.3.0.1")))
		return name, answered
	}
	updateSlice(t, c, slice("flip", "flip", discoveryv1.AddressTypeIPv4, unready("", "10.3.0.1")))
	return name, denied
}

// deletion deletes a service that is answered.
func deletion(t testing.TB, c *cluster, s *server, i int) (string, func(*dns.Msg) bool) {
	service := createService(t, c, dualStack(fmt.Sprintf("old-%d", i)))
	name := service.Name + ".default.svc.cluster.local."
	s.awaitAnswer(t, patience, name, dns.TypeA, answered)
	deleteService(t, c, service.Name)
	return name, denied
}

func answered(reply *dns.Msg) bool { return reply.Rcode == dns.RcodeSuccess && len(reply.Answer) == 1 }
func denied(reply *dns.Msg) bool   { return reply.Rcode == dns.RcodeNameError }

// sample makes the i-th change and returns how long it took to be answered.
func (c change) sample(t testing.TB, k *cluster, s *server, i int) time.Duration {
	t.Helper()
	name, right := c.write(t, k, s, i)
	replied := time.Now()
	return s.firstRight(t, name, right).Sub(replied)
}

// firstRight asks on one socket without pause, and returns when the first right
// answer came.
func (s *server) firstRight(t testing.TB, name string, right func(*dns.Msg) bool) time.Time {
	t.Helper()
	connection, err := net.Dial("udp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience)) // of all reads together
	query, err := new(dns.Msg).SetQuestion(name, dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	var reply dns.Msg
	buffer := make([]byte, dns.MinMsgSize)
	for {
		if _, err := connection.Write(query); err != nil {
			t.Fatal(err)
		}
		n, err := connection.Read(buffer)
		if err != nil {
			t.Fatalf("%s: no right answer: %v; the last was\n%v", name, err, &reply)
		}
		came := time.Now()
		if err := reply.Unpack(buffer[:n]); err != nil {
			t.Fatal(err)
		}
		if right(&reply) {
			return came
		}
	}
}

// percentile is the smallest value that p percent of all values do not exceed.
func percentile(p int, values []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)*p+99)/100-1]
}

// The figures of this test are for the eye. What it proves is that every one of
// many changes, one after the other, is answered.
func TestEveryChangeIsAnswered(t *testing.T) {
	c := startCluster(t)
	s := startServer(t, c.kubeconfig(""), corefile)
	s.awaitServing(t, 30*time.Second)
	for _, change := range changes {
		t.Run(change.name, func(t *testing.T) {
			var took []time.Duration
			for i := range 300 {
				took = append(took, change.sample(t, c, s, i))
			}
			t.Logf("%d changes answered after p50 %v, p99 %v, at most %v",
				len(took), percentile(50, took), percentile(99, took), percentile(100, took))
		})
	}
}

func BenchmarkLatency(b *testing.B) {
	c := startCluster(b)
	s := startServer(b, c.kubeconfig(""), corefile)
	s.awaitServing(b, 30*time.Second)
	for _, change := range changes {
		b.Run(change.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				took = append(took, change.sample(b, c, s, len(took)))
			}
			b.ReportMetric(float64(percentile(50, took).Microseconds()), "p50-µs")
			b.ReportMetric(float64(percentile(99, took).Microseconds()), "p99-µs")
			b.ReportMetric(0, "ns/op") // says how long the writes took
		})
	}
}
