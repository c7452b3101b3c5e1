package metrics

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"time"
)

// restFactor is how many times as long as the last scrape took its successor is put off: scrapes take a quarter of one
// CPU at most, whoever asks for them.
const restFactor = 3

// maxRest is the longest that a scrape is put off.
const maxRest = time.Second

// scrapes computes one scrape at a time, and answers all requests that wait for it with one result. A request never
// gets a result that was begun before it came.
type scrapes struct {
	handler   http.Handler  // computes
	computing chan struct{} // has an element during a scrape, and for a while after it

	mu   sync.Mutex
	next map[form]*result // those that have not begun
}

// form is one of the forms that a result can have.
type form struct{ protobuf, gzip bool }

// result is what one scrape has computed.
type result struct {
	done   chan struct{} // closed when the rest is there
	header http.Header
	status int
	body   bytes.Buffer
}

func newScrapes(handler http.Handler) *scrapes {
	return &scrapes{handler: handler, computing: make(chan struct{}, 1), next: map[form]*result{}}
}

// protobuf is the media type of Prometheus's binary format.
const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

// formOf is what the client of r reads best.
func formOf(r *http.Request) form {
	first, _, _ := strings.Cut(r.Header.Get("Accept"), ",")
	return form{
		protobuf: strings.Contains(first, "application/vnd.google.protobuf"),
		gzip:     strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"),
	}
}

// ServeHTTP implements http.Handler.
func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := formOf(r)
	s.mu.Lock()
	next := s.next[f]
	first := next == nil
	if first {
		next = &result{done: make(chan struct{}), header: http.Header{}, status: http.StatusInternalServerError}
		s.next[f] = next
	}
	s.mu.Unlock()
	if first {
		s.compute(f, next)
	}
	<-next.done
	for name, values := range next.header {
		w.Header()[name] = values
	}
	w.WriteHeader(next.status)
	w.Write(next.body.Bytes())
}

// compute computes the next result when it is its turn. Who comes from then on waits for another one. If the handler
// panics, the result is an error for all who wait.
func (s *scrapes) compute(f form, next *result) {
	s.computing <- struct{}{}
	began := time.Now()
	defer func() {
		close(next.done)
		time.AfterFunc(min(restFactor*time.Since(began), maxRest), func() { <-s.computing })
	}()
	s.mu.Lock()
	delete(s.next, f)
	s.mu.Unlock()
	request := &http.Request{Method: http.MethodGet, Header: http.Header{}}
	if f.protobuf {
		request.Header.Set("Accept", protobuf)
	}
	if f.gzip {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	writer := &recorder{result: next, code: http.StatusOK}
	s.handler.ServeHTTP(writer, request)
	next.status = writer.code
}

// recorder writes into a result.
type recorder struct {
	*result
	code int
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.code = status }
