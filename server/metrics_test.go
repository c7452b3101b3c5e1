package server

import (
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || strings.Contains(w.Body.String(), "error") {
		t.Fatalf("%d\n%s", w.Code, w.Body)
	}
	return w.Body.String()
}

// CoreDNS's names, labels and buckets, over both transports, for hits, misses, refusals and panics.
func TestMetrics(t *testing.T) {
	engines(t, func(t *testing.T, engine Engine) {
		m := NewMetrics("1.2.3", "abcdef")
		l := serve(t, Options{Answerer: newScripted(), Engine: engine, Blocks: []Block{{Zones: []string{"example.", "."}, Metrics: true}}})
		m.SetListeners([]*Listener{l}, []PluginUse{{l.Label(), "example.", "kubernetes"}})
		m.Set("room", func(emit func(Sample)) {
			emit(Sample{Name: "coredns_proxy_request_duration_seconds", Help: "x", Kind: Histogram, Labels: []string{"to", "10.0.0.1:53"}, Value: 1.5, Count: 2, Buckets: map[float64]uint64{1: 1}})
		})
		for _, network := range []string{"udp", "tcp"} {
			exchange(t, network, l.Address(), "hit.example.", dns.TypeA)
			exchange(t, network, l.Address(), "miss.example.", dns.TypeAAAA)
			exchange(t, network, l.Address(), "hit.other.", dns.TypeURI)
			exchange(t, network, l.Address(), "panic.example.", dns.TypeA)
		}
		want := strings.ReplaceAll(`
coredns_dns_requests_total{family="1",proto="udp",server="SERVER",type="A",view="",zone="example."} 1
coredns_dns_requests_total{family="1",proto="tcp",server="SERVER",type="AAAA",view="",zone="example."} 1
coredns_dns_requests_total{family="1",proto="udp",server="SERVER",type="other",view="",zone="."} 1
coredns_dns_requests_total{family="1",proto="udp",server="SERVER",type="A",view="",zone="dropped"} 1
coredns_dns_responses_total{plugin="kubernetes",rcode="NOERROR",server="SERVER",view="",zone="example."} 2
coredns_dns_responses_total{plugin="forward",rcode="NOERROR",server="SERVER",view="",zone="example."} 2
coredns_dns_responses_total{plugin="",rcode="SERVFAIL",server="SERVER",view="",zone="dropped"} 2
coredns_dns_request_duration_seconds_count{server="SERVER",view="",zone="example."} 4
coredns_dns_request_duration_seconds_bucket{server="SERVER",view="",zone="example.",le="8.192"} 4
coredns_dns_request_size_bytes_bucket{proto="tcp",server="SERVER",view="",zone="example.",le="100"} 2
coredns_dns_response_size_bytes_sum{proto="udp",server="SERVER",view="",zone="."} 27
coredns_panics_total 2
coredns_plugin_enabled{name="kubernetes",server="SERVER",view="",zone="example."} 1
coredns_proxy_request_duration_seconds_bucket{to="10.0.0.1:53",le="+Inf"} 2
clusterdns_udp_kernel_drops_total{server="SERVER"} 0
clusterdns_upstream_pool_full_total{proto="udp",server="SERVER"} 0
clusterdns_tcp_connections_total{server="SERVER"} 4
clusterdns_udp_engine_info{engine="ENGINE",server="SERVER"} 1
`, "SERVER", l.Label())
		want = strings.ReplaceAll(want, "ENGINE", engine.String())
		var missing string
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) { // queries are counted after they are answered
			got := scrape(t, m)
			missing = ""
			for line := range strings.Lines(strings.TrimSpace(want) + "\n") {
				if !strings.Contains(got, line) {
					missing += line
				}
			}
			if missing == "" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("missing\n%s in\n%s", missing, got)
			}
		}
		if got := scrape(t, m); !strings.Contains(got, `coredns_build_info{goversion="go`) || !strings.Contains(got, "go_goroutines") {
			t.Error("build info or Go's own metrics are missing")
		}
	})
}

// A room may set its samples while it is asked for them.
func TestMetricsHoldNoLock(t *testing.T) {
	m := NewMetrics("", "")
	m.Set("room", func(func(Sample)) { m.SetListeners(nil, nil) })
	scrape(t, m)
	m.Set("room", nil)
	m.Set("other", func(emit func(Sample)) { emit(Sample{Name: "x_total", Help: "x"}) })
	if got := scrape(t, m); !strings.Contains(got, "x_total 0") {
		t.Error(got)
	}
}

// Scrapes while queries are counted (under -race).
func TestScrapeUnderLoad(t *testing.T) {
	m := NewMetrics("", "")
	l := serve(t, Options{Answerer: newScripted()})
	m.SetListeners([]*Listener{l}, nil)
	var scraped atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			scrape(t, m)
		}
		scraped.Store(true)
	}()
	for !scraped.Load() {
		exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
	}
	<-done
}

func TestTimeBuckets(t *testing.T) {
	for d, bucket := range map[time.Duration]int{
		0: 0, firstTime: 0, firstTime + 1: 1, 2 * firstTime: 1, 2*firstTime + 1: 2, 8192 * time.Millisecond: 15, 8193 * time.Millisecond: 16, time.Hour: 16,
	} {
		var h timeHistogram
		if h.add(d); h.buckets[bucket] != 1 {
			t.Errorf("%s is not in bucket %d: %v", d, bucket, h.buckets)
		}
	}
}
