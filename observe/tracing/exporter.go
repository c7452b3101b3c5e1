package tracing

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

// The defaults of Options, which are CoreDNS's.
const (
	DefaultBacklog  = 1000
	DefaultBatch    = 100
	DefaultInterval = time.Second
)

const (
	requestTime  = 5 * time.Second
	farewellTime = time.Second // for what is left at the end
	firstPause   = time.Second // after a failure
	longestPause = 30 * time.Second
	mostResponse = 64 << 10 // octets of a response that are read, so that its connection can be used again
)

// Options say where spans go.
type Options struct {
	Format    Format
	URL       string
	Service   string
	Version   string         // of this server
	Local     netip.AddrPort // where it listens; the zero AddrPort for all addresses
	Backlog   int            // spans that may wait; default DefaultBacklog
	Batch     int            // spans that are sent together, about; default DefaultBatch
	Interval  time.Duration  // how long a span waits for others; default DefaultInterval
	Analytics float64        // of Datadog: the share of traces to analyze
}

// Exporter takes traces. Nothing is sent until Run.
type Exporter struct {
	options Options
	log     *slog.Logger
	client  http.Client
	full    chan struct{} // has a value when there may be a whole batch

	mu      sync.Mutex
	waiting []*Trace
	spans   int // of waiting, and of the batch that is being sent

	sent, dropped, failed atomic.Uint64

	down bool // of Run alone: what was last logged
}

// NewExporter makes an Exporter.
func NewExporter(o Options, log *slog.Logger) *Exporter {
	o.Backlog, o.Batch = cmp.Or(o.Backlog, DefaultBacklog), cmp.Or(o.Batch, DefaultBatch)
	o.Interval = cmp.Or(o.Interval, DefaultInterval)
	o.Batch = min(o.Batch, o.Backlog)
	return &Exporter{options: o, log: log, full: make(chan struct{}, 1), client: http.Client{
		Timeout:       requestTime,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Counts are what an Exporter has done.
type Counts struct {
	Collector string
	Sent      uint64 // spans that the collector has taken
	Dropped   uint64 // spans that did not fit into the backlog, or whose request has failed
	Failed    uint64 // requests
}

// Counts may be called at any time.
func (e *Exporter) Counts() Counts {
	return Counts{e.options.URL, e.sent.Load(), e.dropped.Load(), e.failed.Load()}
}

// Add takes a trace that has ended, or drops it where it does not fit.
func (e *Exporter) Add(t *Trace) {
	e.mu.Lock()
	fits := e.spans+len(t.Spans) <= e.options.Backlog
	if fits {
		e.spans += len(t.Spans)
		e.waiting = append(e.waiting, t)
	}
	whole := e.spans >= e.options.Batch
	e.mu.Unlock()
	if !fits {
		e.dropped.Add(uint64(len(t.Spans)))
	}
	if whole {
		select {
		case e.full <- struct{}{}:
		default:
		}
	}
}

// Run sends until ctx ends, and then what is left, for a second at most.
func (e *Exporter) Run(ctx context.Context) {
	defer e.client.CloseIdleConnections()
	ticker := time.NewTicker(e.options.Interval)
	defer ticker.Stop()
	pause := firstPause
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-e.full:
		}
		if ctx.Err() == nil && !e.flush(ctx) {
			observe.Pause(ctx, pause)
			pause = min(2*pause, longestPause)
		} else {
			pause = firstPause
		}
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer cancel()
	e.flush(late)
}

// flush sends what waits. It reports false when a batch could not be sent.
func (e *Exporter) flush(ctx context.Context) bool {
	for {
		batch, spans := e.take()
		if spans == 0 {
			return true
		}
		err := e.post(ctx, batch)
		e.mu.Lock()
		e.spans -= spans
		e.mu.Unlock()
		e.note(err)
		if err != nil {
			e.failed.Add(1)
			e.dropped.Add(uint64(spans))
			return false
		}
		e.sent.Add(uint64(spans))
	}
}

// take is the oldest traces, up to a batch, or a single one that is larger.
func (e *Exporter) take() (batch []*Trace, spans int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.waiting) > 0 && (spans == 0 || spans+len(e.waiting[0].Spans) <= e.options.Batch) {
		spans += len(e.waiting[0].Spans)
		batch = append(batch, e.waiting[0])
		e.waiting[0] = nil
		e.waiting = e.waiting[1:]
	}
	return batch, spans
}

func (e *Exporter) post(ctx context.Context, batch []*Trace) error {
	body, err := e.options.encode(batch)
	if err != nil {
		return err
	}
	method := http.MethodPost
	if e.options.Format == Datadog {
		method = http.MethodPut
	}
	request, err := http.NewRequestWithContext(ctx, method, e.options.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if e.options.Format == Datadog {
		request.Header.Set("X-Datadog-Trace-Count", fmt.Sprint(len(batch)))
	}
	response, err := e.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, mostResponse))
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("HTTP status %s", response.Status)
	}
	return nil
}

// note logs what has changed.
func (e *Exporter) note(err error) {
	if down := err != nil; down != e.down {
		e.down = down
		if down {
			e.log.Warn("trace: the collector takes no spans; they are dropped", "collector", e.options.URL, "error", err)
		} else {
			e.log.Info("trace: the collector is back", "collector", e.options.URL)
		}
	}
}
