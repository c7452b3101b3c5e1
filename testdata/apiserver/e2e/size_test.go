package e2e

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What a cluster of 10,000 services and 155,000 endpoints costs, for clusterdns
// and for CoreDNS in one run. On a machine that does nothing else,
//
//	go test -run '^$' -bench Size -size.snapshots DIR ./e2e
//
// takes three minutes, and two more the first time. Aims for clusterdns: ready
// within 1.0 s, at most 90 MB under load, and at the peak of reading all again
// at most 1.3 times what it is under load.
var (
	sizeShape     = flag.String("size.shape", "10k", "shape that the command load writes")
	sizeSnapshots = flag.String("size.snapshots", "", "directory that keeps filled API servers for the next run")
	sizeLoad      = flag.Duration("size.load", 15*time.Second, "how long to ask")
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
	c, whole := startFilled(b, *sizeShape), b // what is started again must outlive its part
	questions := filepath.Join(b.TempDir(), "questions")
	runLoad(b, "-shape", *sizeShape, "-names", questions)
	for _, peer := range []struct {
		name    string
		command func() (string, error)
	}{{"clusterdns", clusterdns}, {"coredns", coredns}} {
		b.Run(peer.name, func(b *testing.B) {
			for range b.N {
				measureSize(b, c, peer.command, questions, func() { c.start(whole) })
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// measureSize starts a server, asks it, and takes the API server away from it
// while it is asked.
func measureSize(b *testing.B, c *cluster, command func() (string, error), questions string, restart func()) {
	report := func(value float64, unit string) { b.ReportMetric(value, unit) }
	began := time.Now()
	s := startPeer(b, command, c.kubeconfig(""), sizeCorefile)
	s.awaitSoon(b, began)
	report(time.Since(began).Seconds(), "s-to-ready")
	report(s.memory(b, "VmRSS"), "MB-at-ready")
	report(s.memory(b, "VmHWM"), "MB-sync-peak")
	time.Sleep(5 * time.Second) // a collector gives back in the background
	report(s.memory(b, "VmRSS"), "MB-synced")

	s.forgetPeak(b)
	rate := <-s.dnsperf(b, questions, *sizeLoad)
	loaded := s.memory(b, "VmHWM")
	report(rate, "queries/s")
	report(loaded, "MB-loaded")

	s.forgetPeak(b)
	asking := s.dnsperf(b, questions, *sizeLoad)
	c.kill(b)
	restart()
	name := fmt.Sprintf("after-%d", time.Now().UnixNano())
	createService(b, c, headless(name))
	createSlice(b, c, slice(name, name, discoveryv1.AddressTypeIPv4, ready("", "10.9.0.1")))
	s.awaitAnswer(b, time.Minute, name+".default.svc.cluster.local.", dns.TypeA, answered)
	<-asking
	peak := s.memory(b, "VmHWM")
	report(peak, "MB-restart-peak")
	report(peak/loaded, "restart-peak/loaded")
	report(s.memory(b, "VmRSS"), "MB-end")
	deleteService(b, c, name)
	s.process.cmd.Process.Kill()
	<-s.ended
}

// startFilled starts an API server that holds a shape.
func startFilled(b *testing.B, shape string) *cluster {
	b.Helper()
	c := &cluster{dir: b.TempDir()}
	kept := filepath.Join(*sizeSnapshots, shape+".snapshot")
	if *sizeSnapshots != "" {
		if _, err := os.Stat(kept); err == nil {
			c.restore(b, kept)
		} else if !errors.Is(err, os.ErrNotExist) {
			b.Fatal(err)
		} else {
			c.start(b)
			runLoad(b, "-shape", shape, "-kubeconfig", c.kubeconfig(""))
			c.kill(b)
			c.run(b, "snapshot", "-dir", c.dir, "-to", kept)
		}
		c.start(b)
	} else {
		c.start(b)
		runLoad(b, "-shape", shape, "-kubeconfig", c.kubeconfig(""))
	}
	c.Interface = c.client(b, "")
	// The first who asks has the API server read all from etcd.
	services, err := c.CoreV1().Services("").List(b.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		b.Fatal(err)
	}
	slices, err := c.DiscoveryV1().EndpointSlices("").List(b.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		b.Fatal(err)
	}
	endpoints := 0
	for i := range slices.Items {
		endpoints += len(slices.Items[i].Endpoints)
	}
	b.Logf("%d services, %d endpoints in %d slices", len(services.Items), endpoints, len(slices.Items))
	return c
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

// startPeer is startServer for any server that reads a Corefile.
func startPeer(b *testing.B, command func() (string, error), kubeconfig, corefile string) *server {
	b.Helper()
	port := freePort(b)
	s := &server{
		address:    net.JoinHostPort("127.0.0.1", port),
		ready:      net.JoinHostPort("127.0.0.1", freePort(b)),
		metrics:    net.JoinHostPort("127.0.0.1", freePort(b)),
		file:       filepath.Join(b.TempDir(), "Corefile"),
		kubeconfig: kubeconfig,
	}
	s.configure(b, corefile)
	s.process = start(b, nil, built(b, command), "-conf", s.file, "-dns.port", port)
	return s
}

// awaitSoon is awaitServing with a pause that does not matter to a time in
// tenths of a second.
func (s *server) awaitSoon(b *testing.B, began time.Time) {
	b.Helper()
	for {
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
