// Package admin serves HTTP to those who run the server: /health, /ready, /metrics, /debug/pprof and the page.
//
// Invariant: when an address of new endpoints cannot be had, the old ones go on unchanged. Sockets that both have stay
// open.
//
// Concurrency: Run owns every goroutine, and returns when its context has ended and no request is under way. Set and
// Lameduck may be called by any goroutine.
package admin

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

// Options is what the endpoints tell.
type Options struct {
	NotReady func() []string // names of what is not ready; none means ready
	Snapshot func() string   // time of the snapshot that names are answered from; "" while none are
	Metrics  http.Handler    // of /metrics
	Page     http.Handler    // of all other paths, where there is a dashboard
	Logger   *slog.Logger    // default slog.Default()
}

// Server serves the endpoints.
type Server struct {
	options      Options
	draining     atomic.Bool
	wasReady     atomic.Bool
	continuously atomic.Bool
	health       healthTimes
	panics       observe.Panics

	mu      sync.Mutex
	sockets map[string]*socket // by address
	running sync.WaitGroup
}

// New makes a Server that listens nowhere yet.
func New(options Options) *Server {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	return &Server{options: options, sockets: map[string]*socket{}}
}

// Set serves endpoints instead of those before. When one of their addresses cannot be had, nothing changes.
func (s *Server) Set(endpoints Endpoints) error {
	muxes := s.muxes(endpoints)
	s.mu.Lock()
	defer s.mu.Unlock()
	next, fresh, err := s.openAll(endpoints, muxes)
	if err != nil {
		return err
	}
	for _, old := range s.sockets {
		if !has(next, old) {
			s.running.Go(old.shutdown)
		}
	}
	s.sockets = next
	for address, socket := range s.sockets {
		socket.mux.Store(muxes[address])
	}
	s.continuously.Store(endpoints.Continuously)
	for _, socket := range fresh {
		s.running.Go(func() { socket.serve(s.options.Logger, &s.panics) })
	}
	return nil
}

// openAll is a socket for each address of muxes: one that is open, or a fresh one. After an error none is open that was
// not before.
func (s *Server) openAll(
	endpoints Endpoints, muxes map[string]*http.ServeMux,
) (next map[string]*socket, fresh []*socket, err error) {
	next = map[string]*socket{}
	for address := range muxes {
		if socket := s.sockets[address]; socket != nil {
			next[address] = socket
		}
	}
	for address := range muxes {
		if next[address] != nil {
			continue
		}
		socket, err := s.open(address, next)
		if err != nil {
			for _, socket := range fresh {
				socket.Close()
			}
			return nil, nil, endpoints.error(address, err)
		}
		next[address] = socket
		if !has(s.sockets, socket) {
			fresh = append(fresh, socket)
		}
	}
	return next, fresh, nil
}

func has(sockets map[string]*socket, one *socket) bool {
	return slices.Contains(slices.Collect(maps.Values(sockets)), one)
}

// Addresses are where the endpoints are served, by the address that was asked for: with port 0 they differ.
func (s *Server) Addresses() map[string]net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addresses := map[string]net.Addr{}
	for address, socket := range s.sockets {
		addresses[address] = socket.Addr()
	}
	return addresses
}

// Run waits for the end of ctx, ends the endpoints and returns when no request is under way any more.
func (s *Server) Run(ctx context.Context) {
	<-ctx.Done()
	s.draining.Store(true)
	s.Set(Endpoints{}) // with nothing to open, it cannot fail
	s.running.Wait()
}

// Lameduck makes /ready say no, and returns after d or when ctx ends. Meanwhile everything is served as before, for
// clients that have not yet learned that this server is about to end.
func (s *Server) Lameduck(ctx context.Context, d time.Duration) {
	s.draining.Store(true)
	if d <= 0 {
		return
	}
	s.options.Logger.Info("plugin/health: Going into lameduck mode for " + d.String())
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
