package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/listen"
	"github.com/clusterdns/clusterdns/server/metrics"
)

// adminConns is how many connections an admin endpoint has at a time, 16 KiB each; more wait in the kernel. Any pod can reach the endpoints.
const adminConns = 128

// boundedListener accepts no more connections than slots has room for.
type boundedListener struct {
	net.Listener
	slots chan struct{}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundedConn{Conn: conn, slots: l.slots}, nil
}

// boundedConn gives its slot back when it is closed.
type boundedConn struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}

// adminTimeout bounds each request to an admin endpoint, and how long the end of one waits for those under way.
const adminTimeout = 5 * time.Second

// Endpoints is where the admin endpoints are served. Those with the same address share it.
type Endpoints struct {
	Health     []string
	Ready      []string
	Prometheus []string
	Pprof      []string

	Continuously bool              // what was ready once may become unready again
	At           map[string]string // who asks for an address, in errors
}

// EndpointsOf are the endpoints that c asks for.
func EndpointsOf(c *config.Config) Endpoints {
	return Endpoints{c.Health.Addresses, c.Ready.Addresses, c.Prometheus.Addresses, c.Pprof.Addresses, c.Ready.Continuously, c.EndpointAt}
}

// error says where address is asked for, and what is wrong with it.
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

// AdminOptions is what the admin endpoints tell.
type AdminOptions struct {
	NotReady func() []string // names of what is not ready; none means ready
	Metrics  http.Handler    // of /metrics
	Logger   *slog.Logger
}

// Admin serves /health, /ready, /metrics and /debug/pprof.
type Admin struct {
	options      AdminOptions
	draining     atomic.Bool
	wasReady     atomic.Bool
	continuously atomic.Bool
	health       healthTimes

	mu      sync.Mutex
	servers map[string]*adminServer // by address
	running sync.WaitGroup
}

// NewAdmin makes an Admin that listens nowhere yet.
func NewAdmin(options AdminOptions) *Admin {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	return &Admin{options: options, servers: map[string]*adminServer{}}
}

// adminServer is one address. A reload exchanges what it serves and keeps the socket.
type adminServer struct {
	listener *boundedListener
	http     http.Server
	mux      atomic.Pointer[http.ServeMux]
}

// Set serves endpoints instead of those before. When one of their addresses cannot be had, nothing changes.
func (a *Admin) Set(endpoints Endpoints) error {
	muxes := a.muxes(endpoints)
	a.mu.Lock()
	defer a.mu.Unlock()
	next := map[string]*adminServer{}
	for address := range muxes {
		if s := a.servers[address]; s != nil {
			next[address] = s
		}
	}
	var fresh []*adminServer
	for address := range muxes {
		if next[address] != nil {
			continue
		}
		listener, err := a.listen(address, next)
		if err != nil {
			for _, s := range fresh {
				s.listener.Close()
			}
			return endpoints.error(address, err)
		}
		next[address] = &adminServer{listener: &boundedListener{listener, make(chan struct{}, adminConns)}}
		fresh = append(fresh, next[address])
	}
	for address, s := range a.servers {
		if next[address] == nil {
			a.running.Go(s.shutdown)
		}
	}
	a.servers = next
	for address, s := range a.servers {
		s.mux.Store(muxes[address])
	}
	a.continuously.Store(endpoints.Continuously)
	for _, s := range fresh {
		a.running.Go(func() { s.serve(a.options.Logger) })
	}
	return nil
}

// listen opens the socket of address. One of ours that leaves may meet it, such as that of localhost:9153 when :9153 is to be: they share
// the port for that moment. Those of next never do, and nobody else's: a foreign socket that would share its port is refused like any other.
func (a *Admin) listen(address string, next map[string]*adminServer) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if !errors.Is(err, syscall.EADDRINUSE) || !a.lendTo(address, next) {
		return listener, err
	}
	if listener, err = listen.Reusing().Listen(context.Background(), "tcp", address); err != nil {
		return nil, err
	}
	for _, s := range next {
		if listen.Overlaps(bound(s.listener), bound(listener)) {
			listener.Close()
			return nil, syscall.EADDRINUSE
		}
	}
	return listener, nil
}

// lendTo lends address the port of those that meet it and are not in next, and reports whether there are any.
func (a *Admin) lendTo(address string, next map[string]*adminServer) (lent bool) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return false
	}
	to := resolved.AddrPort()
	if ip := to.Addr().Unmap(); !ip.IsValid() || ip.IsUnspecified() {
		to = netip.AddrPortFrom(netip.IPv6Unspecified(), to.Port()) // to net.Listen, 0.0.0.0 is both families
	} else {
		to = netip.AddrPortFrom(ip, to.Port())
	}
	for other, s := range a.servers {
		if next[other] == nil && listen.Overlaps(to, bound(s.listener)) {
			listen.AllowReuse(s.listener.Listener.(*net.TCPListener))
			lent = true
		}
	}
	return lent
}

func bound(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// Run waits for the end of ctx, ends the endpoints and returns.
func (a *Admin) Run(ctx context.Context) {
	<-ctx.Done()
	a.Close()
}

// Close ends the endpoints and returns when no request is in work any more.
func (a *Admin) Close() {
	a.draining.Store(true)
	a.Set(Endpoints{}) // with nothing to open, it cannot fail
	a.running.Wait()
}

// Lameduck makes /ready say no, and returns after d or when ctx ends. In the meantime everything is served as before, so that nobody
// is hurt who has not heard yet that this server is about to go.
func (a *Admin) Lameduck(ctx context.Context, d time.Duration) {
	a.draining.Store(true)
	if d <= 0 {
		return
	}
	a.options.Logger.Info("plugin/health: Going into lameduck mode for " + d.String())
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (s *adminServer) serve(logger *slog.Logger) {
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.mux.Load().ServeHTTP(w, r) })
	s.http.ReadHeaderTimeout, s.http.MaxHeaderBytes = time.Second, 8<<10
	s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout = adminTimeout, adminTimeout, adminTimeout
	s.http.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		logger.Error("admin endpoint ended", "address", s.listener.Addr(), "error", err)
	}
}

// shutdown lets requests under way end, for a while.
func (s *adminServer) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	s.listener.Close() // if it was never served
}

// muxes are what each address serves.
func (a *Admin) muxes(endpoints Endpoints) map[string]*http.ServeMux {
	muxes := map[string]*http.ServeMux{}
	each := func(addresses []string, handle func(*http.ServeMux)) {
		for _, address := range addresses {
			if muxes[address] == nil {
				muxes[address] = http.NewServeMux()
			}
			handle(muxes[address])
		}
	}
	each(endpoints.Health, func(m *http.ServeMux) { m.HandleFunc("/health", a.serveHealth) })
	each(endpoints.Ready, func(m *http.ServeMux) { m.HandleFunc("/ready", a.serveReady) })
	each(endpoints.Prometheus, func(m *http.ServeMux) { m.Handle("/metrics", a.options.Metrics) })
	each(endpoints.Pprof, handlePprof)
	return muxes
}

func handlePprof(m *http.ServeMux) {
	m.HandleFunc("/debug/pprof/", pprof.Index)
	m.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	m.HandleFunc("/debug/pprof/profile", pprof.Profile)
	m.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// serveHealth says that the process lives, in lameduck too.
func (a *Admin) serveHealth(w http.ResponseWriter, _ *http.Request) {
	start := time.Now()
	io.WriteString(w, http.StatusText(http.StatusOK))
	a.health.add(time.Since(start))
}

// serveReady says whether this server should be asked, and if not, what it waits for.
func (a *Admin) serveReady(w http.ResponseWriter, _ *http.Request) {
	if a.draining.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "Shutting down")
		return
	}
	if missing := a.notReady(); len(missing) > 0 {
		a.options.Logger.Debug("plugin/ready: Plugins not ready: " + strings.Join(missing, ","))
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, strings.Join(missing, ","))
		return
	}
	io.WriteString(w, http.StatusText(http.StatusOK))
}

func (a *Admin) notReady() []string {
	if a.options.NotReady == nil || a.wasReady.Load() && !a.continuously.Load() {
		return nil
	}
	missing := a.options.NotReady()
	a.wasReady.Store(len(missing) == 0)
	return missing
}

// healthTimes measures /health. CoreDNS asks its own endpoint every second to fill this metric; here the kubelet's probes do, which
// costs an idle server nothing.
type healthTimes struct {
	mu        sync.Mutex
	histogram observe.Histogram // by slimBounds
}

// slimBounds are CoreDNS's bounds, in nanoseconds: 0.25 ms, and ten times the one before, up to 2.5 s.
var slimBounds = []int64{250e3, 2500e3, 25e6, 250e6, 2500e6}

func (h *healthTimes) add(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.histogram.Observe(slimBounds, int64(d))
}

// Gather emits the metrics of the endpoints.
func (a *Admin) Gather(emit func(metrics.Sample)) {
	h := &a.health
	h.mu.Lock()
	defer h.mu.Unlock()
	emit(metrics.Sample{Name: "coredns_health_request_duration_seconds", Help: "Histogram of the time (in seconds) each request took."}.
		Histogram(&h.histogram, slimBounds, float64(time.Second)))
	emit(metrics.Sample{Name: "coredns_health_request_failures_total", Help: "The number of times the health check failed."})
}
