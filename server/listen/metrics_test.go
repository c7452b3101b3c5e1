package listen

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/metrics"
	"github.com/clusterdns/clusterdns/testdata/scrape"
)

// CoreDNS's names, labels and buckets, over both transports, for hits, misses, refusals and panics.
func TestMetrics(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		m := metrics.New("1.2.3", "abcdef")
		s := newScripted()
		s.outside = 1
		l := serve(t, Options{Answerer: s, engine: engine, Blocks: []Block{{Zones: []string{"example.", "."},
			Metrics: true}}})
		m.Set("listener", l.Gather)
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
clusterdns_udp_kernel_drops_total{server="SERVER"} 0
clusterdns_upstream_pool_full_total{proto="udp",server="SERVER"} 0
clusterdns_tcp_connections_total{server="SERVER"} 4
clusterdns_udp_engine_info{engine="ENGINE",server="SERVER"} 1
`, "SERVER", l.Label())
		scrape.AwaitLines(t, m, strings.ReplaceAll(want, "ENGINE", l.engine.String()))
	})
}

// Scrapes while queries are counted (under -race).
func TestScrapeUnderLoad(t *testing.T) {
	m := metrics.New("", "")
	l := serve(t, Options{Answerer: newScripted()})
	m.Set("listener", l.Gather)
	var scraped atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			scrape.Text(t, m)
		}
		scraped.Store(true)
	}()
	for !scraped.Load() {
		exchange(t, "udp", l.Address(), "hit.example.", dns.TypeA)
	}
	<-done
}

func TestTimeBuckets(t *testing.T) {
	first := 250 * time.Microsecond
	for d, bucket := range map[time.Duration]int{
		0: 0, first: 0, first + 1: 1, 2 * first: 1, 2*first + 1: 2, 8192 * time.Millisecond: 15,
		8193 * time.Millisecond: 16, time.Hour: 16,
	} {
		var h observe.Histogram
		if h.Observe(timeBounds, int64(d)); h.Counts[bucket] != 1 {
			t.Errorf("%s is not in bucket %d: %v", d, bucket, h.Counts)
		}
	}
}
