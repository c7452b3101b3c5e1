// Package scrape reads metrics in tests as Prometheus does.
package scrape

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector collects metrics and has a handler that serves them.
type Collector interface {
	prometheus.Collector
	Handler() http.Handler
}

// Text is the metrics as Prometheus reads them.
func Text(t testing.TB, m Collector) string {
	t.Helper()
	check := prometheus.NewRegistry()
	check.MustRegister(m)
	if _, err := check.Gather(); err != nil { // a scrape leaves out what is wrong
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d\n%s", w.Code, w.Body)
	}
	return w.Body.String()
}

// AwaitLines scrapes until all lines of want are there: queries and requests are counted after they are answered.
func AwaitLines(t testing.TB, m Collector, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		got, missing := Text(t, m), ""
		for line := range strings.Lines(strings.TrimSpace(want) + "\n") {
			if !strings.Contains(got, line) {
				missing += line
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("missing\n%s in\n%s", missing, got)
		}
	}
}
