package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// collecting answers like a collector, without a socket, and counts requests.
type collecting struct {
	status   atomic.Int64
	requests atomic.Int64
}

func (c *collecting) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Body.Close()
	c.requests.Add(1)
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(int(c.status.Load()))
	return recorder.Result(), nil
}

// said is the lines of a log.
type said struct{ strings.Builder }

// exporting runs an Exporter for a collector that says status.
func exporting(t *testing.T, o Options, status int64) (e *Exporter, c *collecting, log *said, end func()) {
	c, log = &collecting{}, &said{}
	c.status.Store(status)
	e = NewExporter(o, slog.New(slog.NewTextHandler(log, nil)))
	e.client.Transport = c
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); e.Run(ctx) }()
	return e, c, log, func() { cancel(); <-ended }
}

func spans(n int) *Trace {
	t := New("servedns", time.Now())
	for len(t.Spans) < n {
		t.Begin(t.Spans[0].ID, "cache", time.Now())
	}
	return t
}

// TestExporterComesBack: a collector that fails is said once and asked less and less often, what does not fit is dropped,
// and what comes once it is back is taken.
func TestExporterComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, c, log, end := exporting(t, Options{URL: "http://collector/"}, http.StatusServiceUnavailable)
		for range 600 {
			e.Add(spans(2))
			time.Sleep(time.Second)
		}
		if n := c.requests.Load(); n < 20 || n > 30 { // 1+2+4+8+16 s and then every 30 s
			t.Errorf("%d requests in 10 minutes", n)
		}
		c.status.Store(http.StatusAccepted)
		time.Sleep(longestPause + 2*DefaultInterval)
		before := e.Counts()
		e.Add(spans(3))
		end()
		after := e.Counts()
		if after.Sent != before.Sent+3 || after.Dropped != before.Dropped || after.Sent+after.Dropped != 1203 {
			t.Errorf("%+v, then %+v", before, after)
		}
		if text := log.String(); strings.Count(text, "takes no spans") != 1 || strings.Count(text, "is back") != 1 {
			t.Error(text)
		}
	})
}

// TestExporterIsBounded: beyond the backlog traces are dropped whole and counted; a batch goes as soon as it is full.
func TestExporterIsBounded(t *testing.T) {
	e := NewExporter(Options{Backlog: 10, Batch: 4}, slog.New(slog.DiscardHandler))
	for range 5 {
		e.Add(spans(3))
	}
	if c := e.Counts(); c.Dropped != 6 || e.spans != 9 {
		t.Errorf("%+v, %d spans kept", c, e.spans)
	}
	synctest.Test(t, func(t *testing.T) {
		e, c, _, end := exporting(t, Options{URL: "http://collector/", Interval: time.Hour, Batch: 4}, http.StatusOK)
		e.Add(spans(3))
		synctest.Wait()
		if n := c.requests.Load(); n != 0 {
			t.Errorf("%d requests", n)
		}
		e.Add(spans(3))
		synctest.Wait()
		if n := c.requests.Load(); n != 2 || e.Counts().Sent != 6 {
			t.Errorf("%d requests, %+v", n, e.Counts())
		}
		end()
	})
}

// TestTraceIsBounded: a query that asks itself again and again has no more spans than others.
func TestTraceIsBounded(t *testing.T) {
	trace := New("servedns", time.Now())
	for range 2 * MostSpans {
		trace.Begin(trace.Spans[0].ID, "rewrite", time.Now())
	}
	if len(trace.Spans) != MostSpans {
		t.Errorf("%d spans", len(trace.Spans))
	}
}

// TestReadmeBounds holds the table of bounds in docs/operations.md to those here.
func TestReadmeBounds(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	row := fmt.Sprintf("| spans for a `trace` | %d, `zipkin_max_backlog_size`; %d of one query; %d s for a request | spans are dropped, "+
		"never queries; after a failure the collector is tried again in %d s to %d s |", DefaultBacklog, MostSpans,
		requestTime/time.Second, firstPause/time.Second, longestPause/time.Second)
	if !strings.Contains(string(text), row) {
		t.Errorf("docs/operations.md has no %q", row)
	}
}
