package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

// scrape is the metrics as Prometheus reads them.
func scrape(t *testing.T, c *Collector) string {
	t.Helper()
	if _, err := c.registry.Gather(); err != nil { // a scrape leaves out what is wrong
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d\n%s", w.Code, w.Body)
	}
	return w.Body.String()
}

// Samples of one series are added up, histograms too, and what the process itself tells is there.
func TestCollect(t *testing.T) {
	c := New("1.2.3", "abcdef")
	h := observe.Histogram{Sum: int64(1500 * time.Millisecond)}
	h.Counts[0], h.Counts[2] = 1, 1
	for _, room := range []string{"one", "other"} {
		c.Set(room, func(emit Emit) {
			emit.With("room", room).Counter("x_total", "x", 2)
			emit.Gauge("y", "y", 1.5)
			emit.Histogram("coredns_proxy_request_duration_seconds", "x",
				&h, observe.Doubling(int64(time.Millisecond), 2), float64(time.Second), "to", "10.0.0.1:53")
		})
	}
	got := scrape(t, c)
	for line := range strings.Lines(`x_total{room="one"} 2
x_total{room="other"} 2
y 3
coredns_proxy_request_duration_seconds_bucket{to="10.0.0.1:53",le="0.001"} 2
coredns_proxy_request_duration_seconds_bucket{to="10.0.0.1:53",le="0.002"} 2
coredns_proxy_request_duration_seconds_bucket{to="10.0.0.1:53",le="+Inf"} 4
coredns_proxy_request_duration_seconds_sum{to="10.0.0.1:53"} 3
coredns_proxy_request_duration_seconds_count{to="10.0.0.1:53"} 4
`) {
		if !strings.Contains(got, line) {
			t.Errorf("missing %s in\n%s", line, got)
		}
	}
	if !strings.Contains(got, `coredns_build_info{goversion="go`) || !strings.Contains(got, "go_goroutines") {
		t.Error("build info or Go's own metrics are missing")
	}
}

// The usual metrics of Go's runtime, all of them, and back.
func TestDetailed(t *testing.T) {
	c := New("", "")
	for _, all := range []bool{true, true, false} {
		c.SetDetailed(all)
		if got := strings.Contains(scrape(t, c), "go_gc_heap_live_bytes"); got != all {
			t.Errorf("detailed is %v, and the details are there: %v", all, got)
		}
	}
}

// A room may set its samples while it is asked for them.
func TestMetricsHoldNoLock(t *testing.T) {
	m := New("", "")
	m.Set("room", func(Emit) { m.Set("late", nil) })
	scrape(t, m)
	m.Set("room", nil)
	m.Set("other", func(emit Emit) { emit.Counter("x_total", "x", 0) })
	if got := scrape(t, m); !strings.Contains(got, "x_total 0") {
		t.Error(got)
	}
}
