package admin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/listen"
	"github.com/clusterdns/clusterdns/server/metrics"
)

// Endpoints says at which addresses each endpoint is served. Endpoints with the same address share it.
type Endpoints struct {
	Health     []string
	Ready      []string
	Prometheus []string
	Pprof      []string
	Dashboard  []string

	Continuously bool              // what was ready once may become unready again
	At           map[string]string // which directive asks for an address, for errors
}

// error says which directive asks for address, and why it cannot be had.
func (e *Endpoints) error(address string, err error) error {
	var inner *net.OpError
	if errors.As(err, &inner) {
		err = inner.Err // without the address once more
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("another process, or another directive, has the TCP port: %w", syscall.EADDRINUSE)
	}
	return fmt.Errorf("%s: listen on %s: %w", e.At[address], address, err)
}

// muxes are what each address serves.
func (s *Server) muxes(endpoints Endpoints) map[string]*http.ServeMux {
	muxes := map[string]*http.ServeMux{}
	each := func(addresses []string, handle func(*http.ServeMux)) {
		for _, address := range addresses {
			if muxes[address] == nil {
				muxes[address] = http.NewServeMux()
			}
			handle(muxes[address])
		}
	}
	each(endpoints.Health, func(m *http.ServeMux) { m.HandleFunc("/health", s.serveHealth) })
	each(endpoints.Ready, func(m *http.ServeMux) { m.HandleFunc("/ready", s.serveReady) })
	each(endpoints.Prometheus, func(m *http.ServeMux) { m.Handle("/metrics", s.options.Metrics) })
	each(without(endpoints.Prometheus, endpoints.Dashboard), func(m *http.ServeMux) { m.HandleFunc("/{$}", serveRoot) })
	each(endpoints.Pprof, handlePprof)
	each(endpoints.Dashboard, func(m *http.ServeMux) { m.Handle("/", s.options.Page) })
	return muxes
}

func handlePprof(m *http.ServeMux) {
	m.HandleFunc("/debug/pprof/", pprof.Index)
	m.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	m.HandleFunc("/debug/pprof/profile", pprof.Profile)
	m.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// without is all but those of others.
func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(a string) bool { return slices.Contains(others, a) })
}

// serveRoot says where the metrics are, for people who follow the address.
func serveRoot(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "clusterdns: see /metrics\n")
}

// serveHealth says that the process lives, during lameduck too.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	start := time.Now()
	io.WriteString(w, http.StatusText(http.StatusOK))
	s.health.add(time.Since(start))
}

// serveReady says whether queries should be sent to this server, and if not, what it waits for.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "Shutting down")
		return
	}
	if missing := s.notReady(); len(missing) > 0 {
		s.options.Logger.Debug("plugin/ready: Plugins not ready: " + strings.Join(missing, ","))
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, strings.Join(missing, ","))
		return
	}
	if s.options.Snapshot != nil {
		if at := s.options.Snapshot(); at != "" {
			fmt.Fprintf(w, "ready (snapshot of %s)", at)
			return
		}
	}
	io.WriteString(w, http.StatusText(http.StatusOK))
}

func (s *Server) notReady() []string {
	if s.options.NotReady == nil || s.wasReady.Load() && !s.continuously.Load() {
		return nil
	}
	missing := s.options.NotReady()
	s.wasReady.Store(len(missing) == 0)
	return missing
}

// healthTimes measures /health. CoreDNS asks its own endpoint every second to fill this metric; here the kubelet's
// probes do, which costs an idle server nothing.
type healthTimes struct {
	mu        sync.Mutex
	histogram observe.Histogram // by slimBounds
}

// slimBounds are CoreDNS's bounds, in nanoseconds: 0.25 ms, each next ten times the one before, up to 2.5 s.
var slimBounds = []int64{250e3, 2500e3, 25e6, 250e6, 2500e6}

func (h *healthTimes) add(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.histogram.Observe(slimBounds, int64(took))
}

// Gather emits the metrics of the endpoints.
func (s *Server) Gather(emit metrics.Emit) {
	s.health.mu.Lock()
	h := s.health.histogram
	s.health.mu.Unlock()
	emit.Histogram("coredns_health_request_duration_seconds", "Histogram of the time (in seconds) each request took.",
		&h, slimBounds, float64(time.Second))
	emit.Counter("coredns_health_request_failures_total", "The number of times the health check failed.", 0)
	emit.Panics(s.panics.Total())
	for address, places := range s.places() {
		counts, ours := places.Counts(), emit.With("address", address)
		ours.Gauge("clusterdns_admin_connections", "Open connections to an admin endpoint.", float64(counts.Open))
		ours.Counter("clusterdns_admin_connections_evicted_total",
			"Connections to an admin endpoint that were closed to make room: they sent no request, or did not read.",
			counts.Evicted)
	}
}

// places are the places for connections, by address.
func (s *Server) places() map[string]*listen.Places {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]*listen.Places{}
	for address, socket := range s.sockets {
		all[address] = socket.places
	}
	return all
}
