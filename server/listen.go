package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/server/logs"
)

// Engine is a way to read and write UDP.
type Engine uint8

// The engines. All serve the same function.
const (
	Auto     Engine = iota // Batch where it can run, else Portable
	Batch                  // recvmmsg and sendmmsg on threads of their own; Linux
	Portable               // net.UDPConn; everywhere
)

// String is the engine's name in logs.
func (e Engine) String() string { return [...]string{"auto", "batch", "portable"}[e] }

// drainTimeout is how long what is about to end answers the queries that wait for upstream: as long as they would wait at most.
const drainTimeout = 5 * time.Second

// Options is what one Listener needs. The zero value of a field is its default.
type Options struct {
	Address      netip.AddrPort // [::] is every address of IPv4 and IPv6; port 0 takes a free one
	Beside       []*Listener    // of the same program: what they have may be shared, such as 127.0.0.1 when Address is [::]
	Answerer     Answerer       // what answers, until SetResolver
	Blocks       []Block        // of Answerer
	Engine       Engine         // default Auto
	Readers      int            // threads that read UDP; default Readers()
	Buffer       int            // octets of receive buffer asked for each UDP socket; default 4 MiB
	Misses       int            // UDP queries that may wait for upstream, 21 KiB each with the forward; default 2048
	Streams      int            // TCP connections, at most, 106 KiB each while they are answered and 8 KiB else; default 512
	StreamMiss   int            // TCP queries that may wait for upstream, 90 KiB each with the forward; default 256
	IdleTimeout  time.Duration  // how long a TCP connection may take for its next query; default 10 s
	WriteTimeout time.Duration  // how long a TCP client may take to read its replies; default 5 s
	Drain        time.Duration  // how long, after the end, queries may go on to wait for upstream; default 5 s
	Log          *logs.QueryLog // where Blocks' log lines go; nil for nowhere
	Logger       *slog.Logger   // default slog.Default()
}

// withDefaults fills what is not set.
func (o Options) withDefaults() Options {
	fill := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	fill(&o.Readers, Readers())
	fill(&o.Buffer, 4<<20)
	fill(&o.Misses, 2048)
	fill(&o.Streams, 512)
	fill(&o.StreamMiss, 256)
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 10 * time.Second
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 5 * time.Second
	}
	if o.Drain <= 0 {
		o.Drain = drainTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Beside = slices.DeleteFunc(slices.Clone(o.Beside), func(l *Listener) bool { return !meet(o.Address, l.address) })
	return o
}

// meet reports whether sockets on a and b have an address in common.
func meet(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && (covers(a.Addr(), b.Addr()) || covers(b.Addr(), a.Addr()))
}

func covers(a, b netip.Addr) bool {
	return a == b || a == netip.IPv6Unspecified() || a == netip.IPv4Unspecified() && b.Is4()
}

// Listener serves DNS over UDP and TCP on one address. Its sockets are open from Listen until Run returns or Close is called,
// whatever resolvers come and go behind them.
type Listener struct {
	options Options
	address netip.AddrPort
	engine  engine
	streams *streams
	misses  *misses // of UDP
	zones   zoneTable
	serving atomic.Pointer[serving]
	slow    *tally // of queries that left their reader, and of TCP
	slowLog *logs.Buffer
	panics  panics
	closing sync.Once
}

// engine is one way to serve UDP.
type engine interface {
	// run serves until ctx ends, and returns when no packet is in work any more. Queries wait for upstream until late ends.
	run(ctx, late context.Context, l *Listener)
	close()
	tallies() []*tally
	sockets() []socketState
	failures() uint64 // replies that the kernel did not take
	String() string
}

// socketState is what the kernel tells about one UDP socket.
type socketState struct {
	drops  uint32 // datagrams that found the receive buffer full
	buffer uint32 // octets of receive buffer
}

// Listen opens the sockets of options.Address. An address that another socket has is refused, also when that socket would share it, but
// for those of options.Beside. Of them and the new ones, the kernel gives a query to the closest: who is bound to its address goes before
// who is bound to all.
func Listen(options Options) (*Listener, error) {
	options = options.withDefaults()
	for _, other := range options.Beside {
		if !canShare {
			return nil, fmt.Errorf("listen on %s: this server listens on %s, and can go on there only after a restart", options.Address, other.address)
		}
		lend(other.streams.listener)
	}
	stream, err := listenStream(options)
	if err != nil {
		return nil, err
	}
	const tries = 16 // with port 0, TCP's free port may be taken in UDP
	for try := 1; ; try++ {
		l, err := listenWith(options, stream)
		if err == nil {
			return l, nil
		}
		stream.Close()
		if options.Address.Port() != 0 || try == tries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
		if stream, err = listenStream(options); err != nil {
			return nil, err
		}
	}
}

// lend lets sockets that share have the port of l too. An error shows when they are opened.
func lend(l *net.TCPListener) {
	if raw, err := l.SyscallConn(); err == nil {
		sharePort(raw)
	}
}

// sharing opens sockets on ports that are lent.
func sharing() *net.ListenConfig {
	return &net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return sharePort(raw) }}
}

// listenStream opens the TCP socket. It is also the lock on the address: unlike the UDP sockets of one server it asks to share its port
// only beside others of this program, so that a second instance fails here.
func listenStream(options Options) (*net.TCPListener, error) {
	network, address := "tcp", options.Address
	if address.Addr().Is4() {
		network = "tcp4" // "tcp" would take 0.0.0.0 for both families
	}
	config := &net.ListenConfig{}
	if len(options.Beside) > 0 {
		config = sharing()
	}
	stream, err := config.Listen(context.Background(), network, address.String())
	if err != nil {
		return nil, listenError("TCP", address, err)
	}
	return stream.(*net.TCPListener), nil
}

// listenError says in words what is wrong with address.
func listenError(proto string, address netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: another process, or another instance of this server, has the %s port: %w", address, proto, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: not permitted; lower net.ipv4.ip_unprivileged_port_start or take a port above it: %w", address, syscall.EACCES)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: no interface has this address: %w", address, syscall.EADDRNOTAVAIL)
	}
	return fmt.Errorf("listen on %s, %s: %w", address, proto, err)
}

// listenWith opens the UDP sockets that belong to stream.
func listenWith(options Options, stream *net.TCPListener) (*Listener, error) {
	port := stream.Addr().(*net.TCPAddr).AddrPort().Port()
	l := &Listener{
		options: options,
		address: netip.AddrPortFrom(options.Address.Addr(), port),
		misses:  newMisses(options.Misses),
		slow:    &tally{},
		slowLog: options.Log.Buffer(),
	}
	l.streams = newStreams(l, stream)
	l.SetResolver(options.Answerer, options.Blocks)
	var err error
	if l.engine, err = openEngine(l.address, options); err != nil {
		return nil, listenError("UDP", l.address, err)
	}
	return l, nil
}

// Address is where the listener listens, its port never 0.
func (l *Listener) Address() netip.AddrPort { return l.address }

// Label is the listener's name in metrics, as CoreDNS forms it: "dns://:53" for all addresses, "dns://127.0.0.1:53" for one.
func (l *Listener) Label() string {
	if l.options.Address.Addr() == netip.IPv6Unspecified() {
		return fmt.Sprintf("dns://:%d", l.address.Port())
	}
	return "dns://" + l.address.String()
}

// SetResolver exchanges what answers. Batches under way are answered by the old one, and so are queries that wait for upstream.
func (l *Listener) SetResolver(answerer Answerer, blocks []Block) {
	l.serving.Store(l.compile(answerer, blocks))
}

// Run serves until ctx ends. Then it takes no more queries, answers those that wait for upstream, for Options.Drain at most, closes the
// sockets and returns.
func (l *Listener) Run(ctx context.Context) {
	defer l.Close()
	late, interrupt := context.WithCancel(context.WithoutCancel(ctx))
	defer interrupt()
	l.options.Logger.Debug("listening", "address", l.address, "engine", l.engine, "readers", l.options.Readers)
	var parts sync.WaitGroup
	parts.Go(func() { l.engine.run(ctx, late, l) })
	parts.Go(func() { l.streams.run(ctx, late) })
	<-ctx.Done()
	defer time.AfterFunc(l.options.Drain, interrupt).Stop()
	parts.Wait()
}

// Close gives the address back. Run does it by itself; Close is for a Listener that is never run.
func (l *Listener) Close() {
	l.closing.Do(func() {
		l.engine.close()
		l.streams.listener.Close()
		l.slowLog.End()
	})
}
