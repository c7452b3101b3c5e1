package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// What a cluster of 10,000 services and 155,000 endpoints costs, for clusterdns
// and for CoreDNS in one run, as a table. On a machine that does nothing else,
//
//	go test ./e2e -run '^$' -bench Size -size.snapshots DIR
//
// takes three minutes, and two more the first time; with -size.shape 100k -timeout 60m
// it is another cluster (see the command load). Aims for clusterdns: ready
// within 1.0 s, at most 90 MB under load, and at the peak of reading all again
// at most 1.3 times what it is under load.
var (
	sizeShape     = flag.String("size.shape", "10k", "shape that the command load writes")
	sizeSnapshots = flag.String("size.snapshots", "", "directory that keeps filled API servers for the next run")
	sizeLoad      = flag.Duration("size.load", 15*time.Second, "how long to ask")
	sizeStarts    = flag.Int("size.starts", 5, "how many starts to time")
)

var (
	filler  = sync.OnceValues(func() (string, error) { return build("load", "../load") })
	coredns = sync.OnceValues(func() (string, error) { return build("coredns", "../../peers/coredns") })
)

// sizeCorefile is what both servers run: the cluster's usual Corefile but for
// what needs an upstream.
const sizeCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	prometheus METRICS
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig KUBECONFIG
		pods insecure
		ttl 30
	}
	cache 30
	loadbalance
}
`

func BenchmarkSize(b *testing.B) {
	c, holds := startFilled(b, *sizeShape)
	whole := b // what is started again must outlive its part
	questions := filepath.Join(b.TempDir(), "questions")
	runLoad(b, "-shape", *sizeShape, "-names", questions)
	peers := []struct {
		name    string
		command func() (string, error)
		sizes
	}{{name: "clusterdns", command: clusterdns}, {name: "CoreDNS", command: coredns}}
	var sent []time.Duration
	b.Run("starts", func(b *testing.B) {
		for range *sizeStarts { // in turn, so that what else the machine does slows all of them
			sent = append(sent, streamAll(b, c))
			for i := range peers {
				built(b, peers[i].command)
				began := time.Now()
				s := startReady(b, c, peers[i].command)
				peers[i].ready = append(peers[i].ready, time.Since(began))
				s.end()
			}
		}
		b.ReportMetric(0, "ns/op")
	})
	for i := range peers {
		b.Run(peers[i].name, func(b *testing.B) {
			peers[i].measure(b, c, startReady(b, c, peers[i].command), questions, func() { c.start(whole) })
			b.ReportMetric(0, "ns/op")
		})
	}
	if b.Failed() {
		return
	}
	ours, theirs := &peers[0].sizes, &peers[1].sizes
	fmt.Printf("\n| %s | %s | %s |\n|---|---|---|\n", holds, peers[0].name, peers[1].name)
	for _, row := range sizeRows() {
		fmt.Printf("| %s | %s | %s |\n", row.name, row.of(ours), row.of(theirs))
	}
	fmt.Printf("\nThe API server sends all of it to a client that keeps nothing within %s.\n\n", bestAndMedian(sent))
}

// sizes is what a server took. Memory is resident, in megabytes.
type sizes struct {
	ready   []time.Duration // from the start of the process
	synced  float64         // five seconds after a start
	loaded  float64         // at most, while it is asked
	restart float64         // at most, while it is asked and the API server is killed and started again
	rate    float64         // queries a second
}

type sizeRow struct {
	name string
	of   func(*sizes) string
}

func sizeRows() []sizeRow {
	megabytes := func(v float64) string { return fmt.Sprintf("%.0f MB", v) }
	return []sizeRow{
		{"ready after", func(s *sizes) string { return bestAndMedian(s.ready) }},
		{"RSS after sync", func(s *sizes) string { return megabytes(s.synced) }},
		{"RSS under load", func(s *sizes) string { return megabytes(s.loaded) }},
		{"queries a second in that", func(s *sizes) string { return fmt.Sprintf("%.0f", s.rate) }},
		{"peak RSS across an API server restart", func(s *sizes) string {
			return fmt.Sprintf("%s (%.2f times)", megabytes(s.restart), s.restart/s.loaded)
		}},
	}
}

func bestAndMedian(list []time.Duration) string {
	slices.Sort(list)
	return fmt.Sprintf("%.2f s (median of %d: %.2f s)", list[0].Seconds(), len(list), list[len(list)/2].Seconds())
}

// startReady starts a server and returns once it is ready.
func startReady(b *testing.B, c *cluster, command func() (string, error)) *server {
	b.Helper()
	s := startPeer(b, command, c.kubeconfig(""), sizeCorefile)
	s.awaitSoon(b)
	return s
}

// measure asks a server that has just become ready, and takes the API server
// away from it while it is asked.
func (m *sizes) measure(b *testing.B, c *cluster, s *server, questions string, restart func()) {
	time.Sleep(5 * time.Second) // a collector gives back in the background
	m.synced = s.memory(b, "VmRSS")

	s.forgetPeak(b)
	m.rate = <-s.dnsperf(b, questions, *sizeLoad)
	m.loaded = s.memory(b, "VmHWM")

	s.forgetPeak(b)
	asking := s.dnsperf(b, questions, *sizeLoad)
	c.kill(b)
	restart()
	name := fmt.Sprintf("after-%d", time.Now().UnixNano())
	createService(b, c, headless(name))
	createSlice(b, c, slice(name, name, discoveryv1.AddressTypeIPv4, ready("", "10.9.0.1")))
	s.awaitAnswer(b, 2*time.Minute, name+".default.svc.cluster.local.", dns.TypeA, answered)
	<-asking
	m.restart = s.memory(b, "VmHWM")
	deleteService(b, c, name)
	s.end()
}

// end ends a server at once.
func (s *server) end() {
	s.process.cmd.Process.Kill()
	<-s.ended
}

// streamAll reads what a server reads, as it does, and keeps nothing: the time
// that this takes is the API server's.
func streamAll(b *testing.B, c *cluster) time.Duration {
	b.Helper()
	began := time.Now()
	client := c.client(b, "")
	all := true
	options := metav1.ListOptions{SendInitialEvents: &all, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true}
	var reading sync.WaitGroup
	for _, begin := range []func(context.Context, metav1.ListOptions) (watch.Interface, error){
		client.CoreV1().Services("").Watch, client.CoreV1().Namespaces().Watch, client.DiscoveryV1().EndpointSlices("").Watch,
	} {
		reading.Go(func() {
			w, err := begin(b.Context(), options)
			if err != nil {
				b.Error(err)
				return
			}
			defer w.Stop()
			for event := range w.ResultChan() {
				if o, err := meta.Accessor(event.Object); event.Type == watch.Bookmark && err == nil && o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true" {
					return
				}
			}
			b.Error("the stream broke off")
		})
	}
	reading.Wait()
	return time.Since(began)
}

// startFilled starts an API server that holds a shape, and says what that is.
func startFilled(b *testing.B, shape string) (c *cluster, holds string) {
	b.Helper()
	c = &cluster{dir: b.TempDir()}
	kept := filepath.Join(*sizeSnapshots, shape+".snapshot")
	if *sizeSnapshots != "" {
		if _, err := os.Stat(kept); err == nil {
			c.restore(b, kept)
		} else if !errors.Is(err, os.ErrNotExist) {
			b.Fatal(err)
		} else {
			c.start(b)
			runLoad(b, "-shape", shape, "-dir", c.dir)
			c.kill(b)
			c.run(b, "snapshot", "-dir", c.dir, "-to", kept)
		}
		c.start(b)
	} else {
		c.start(b)
		runLoad(b, "-shape", shape, "-dir", c.dir)
	}
	c.Interface = c.client(b, "")
	// The first who asks has the API server read all from etcd.
	services, err := c.CoreV1().Services("").List(b.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		b.Fatal(err)
	}
	list, err := c.DiscoveryV1().EndpointSlices("").List(b.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		b.Fatal(err)
	}
	endpoints := 0
	for i := range list.Items {
		endpoints += len(list.Items[i].Endpoints)
	}
	return c, fmt.Sprintf("%d services, %d endpoints in %d slices", len(services.Items), endpoints, len(list.Items))
}

// runLoad runs the command load.
func runLoad(b *testing.B, args ...string) {
	b.Helper()
	output, err := exec.CommandContext(b.Context(), built(b, filler), args...).CombinedOutput()
	if err != nil {
		b.Fatalf("load: %v\n%s", err, output)
	}
	b.Logf("load %s:\n%s", strings.Join(args, " "), tail(string(output)))
}

// awaitSoon is awaitServing with a pause that does not matter to a time in
// tenths of a second.
func (s *server) awaitSoon(b *testing.B) {
	b.Helper()
	for began := time.Now(); ; {
		if status, _, err := fetch(b.Context(), "http://"+s.ready+"/ready"); err == nil && status == http.StatusOK {
			return
		}
		if time.Since(began) > 2*time.Minute {
			b.Fatal("not ready after two minutes")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// memory is a figure of /proc/PID/status in megabytes: VmRSS is what is
// resident, VmHWM the most that it was since forgetPeak.
func (p *process) memory(b *testing.B, figure string) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Skipf("no resident memory on this system: %v", err)
	}
	_, after, _ := strings.Cut(string(status), figure+":")
	var kilobytes int
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		b.Fatalf("%s: %v", figure, err)
	}
	return float64(kilobytes) / 1000 * 1.024
}

// forgetPeak has VmHWM begin again at VmRSS (proc(5), clear_refs).
func (p *process) forgetPeak(b *testing.B) {
	b.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}

var (
	perfRate = regexp.MustCompile(`Queries per second: +([0-9.]+)`)
	perfLost = regexp.MustCompile(`Queries lost: +(\d+)`)
)

// dnsperf asks as fast as is answered for a time, and sends the rate. A lost
// query ends the benchmark.
func (s *server) dnsperf(b *testing.B, questions string, length time.Duration) <-chan float64 {
	b.Helper()
	path, err := exec.LookPath("dnsperf")
	if err != nil {
		b.Fatalf("%v: it is in Debian's dnsperf", err)
	}
	host, port, _ := strings.Cut(s.address, ":")
	cmd := exec.CommandContext(b.Context(), path, "-s", host, "-p", port, "-d", questions, "-c", "4", "-T", "1", "-q", "100",
		"-l", strconv.Itoa(int(length.Seconds())))
	result := make(chan float64, 1)
	go func() {
		defer close(result)
		output, err := cmd.CombinedOutput()
		rate, lost := perfRate.FindSubmatch(output), perfLost.FindSubmatch(output)
		if err != nil || rate == nil || lost == nil || string(lost[1]) != "0" {
			b.Errorf("dnsperf: %v\n%s", err, output)
			return
		}
		value, _ := strconv.ParseFloat(string(rate[1]), 64)
		result <- value
	}()
	return result
}
