package watch

import (
	"cmp"
	"context"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"

	"github.com/clusterdns/clusterdns/observe"
)

// Requests is what a source counts of its requests to an API server, all of them GET. A source of manifests has no
// requests, and no host.
type Requests struct {
	Host     string            // with the port, where the URL has one
	Answered map[string]uint64 // by status code, "<error>" where there was no answer; each try counts

	// Took is from a request to the end of its answer, by RequestBounds. A watch has no end and is not in it.
	Took observe.Histogram

	// Waited is for the options apiserver_qps and apiserver_burst, by RequestBounds. A watch does not wait.
	Waited observe.Histogram
}

// RequestBounds are the bounds of the buckets of Requests, in nanoseconds: those that Prometheus takes by default, and
// CoreDNS with it.
var RequestBounds = []int64{5e6, 10e6, 25e6, 50e6, 100e6, 250e6, 500e6, 1e9, 2500e6, 5e9, 10e9}

// requests counts, for a client of the API server. It is safe for concurrent use.
type requests struct {
	mu     sync.Mutex
	counts Requests
}

// count makes the clients of config count.
func (r *requests) count(config *rest.Config) error {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return err
	}
	r.counts = Requests{Host: base.Host, Answered: map[string]uint64{}}
	bucket := flowcontrol.NewTokenBucketRateLimiter(
		cmp.Or(config.QPS, rest.DefaultQPS),
		cmp.Or(config.Burst, rest.DefaultBurst),
	)
	config.RateLimiter = &limiter{bucket, r}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &counted{next, r} })
	return nil
}

// read is the counts of this moment.
func (r *requests) read() Requests {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.counts
	counts.Answered = maps.Clone(counts.Answered)
	return counts
}

func (r *requests) answered(code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Answered[code]++
}

// observe adds the time since began to one of the counts.
func (r *requests) observe(h *observe.Histogram, began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.Observe(RequestBounds, int64(time.Since(began)))
}

// limiter is a rate limiter that counts how long requests wait.
type limiter struct {
	flowcontrol.RateLimiter
	requests *requests
}

// Wait is that of flowcontrol.RateLimiter.
func (l *limiter) Wait(ctx context.Context) error {
	began := time.Now()
	defer l.requests.observe(&l.requests.counts.Waited, began)
	return l.RateLimiter.Wait(ctx)
}

// counted is a transport whose requests are counted.
type counted struct {
	next     http.RoundTripper
	requests *requests
}

// RoundTrip is that of http.RoundTripper.
func (c *counted) RoundTrip(q *http.Request) (*http.Response, error) {
	began := time.Now()
	done := func() { c.requests.observe(&c.requests.counts.Took, began) }
	if isWatch(q) {
		done = func() {}
	}
	reply, err := c.next.RoundTrip(q)
	if err != nil {
		c.requests.answered("<error>")
		done()
		return nil, err
	}
	c.requests.answered(strconv.Itoa(reply.StatusCode))
	reply.Body = &body{ReadCloser: reply.Body, done: sync.OnceFunc(done)}
	return reply, nil
}

// isWatch reports whether q is for a stream, whose answer has no end.
func isWatch(q *http.Request) bool { return q.URL.Query().Has("watch") }

// body is that of an answer, which calls done when it has been read.
type body struct {
	io.ReadCloser
	done func()
}

// Close is that of io.Closer.
func (b *body) Close() error {
	b.done()
	return b.ReadCloser.Close()
}
