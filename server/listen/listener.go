package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/observe/traffic"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/server/metrics"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Listener serves one address and scheme: DNS over UDP and TCP, or one of the transports that are encrypted. Its sockets are open from Open until Run returns or Close is
// called, across reloads.
type Listener struct {
	options   Options
	address   netip.AddrPort
	engine    engine
	acceptor  acceptor
	socket    syscall.Conn // of what acceptor accepts
	streams   *streams     // acceptor of Do53 and DoT, else nil
	answers   sync.Pool    // of *answers
	pending   *pending
	late      sync.Pool // of *late
	lates     sync.Pool // of *lateReplies
	zones     zoneTable
	serving   atomic.Pointer[serving]
	shared    *tally            // of queries that left their reader, and of TCP
	sharedLog *logs.Buffer      // of the same
	recorder  *traffic.Recorder // of the same
	panics    observe.Panics
	closing   sync.Once

	credentials atomic.Pointer[Credentials] // nil without a certificate
	handshakes  *handshakes
}

// acceptor takes the connections of clients.
type acceptor interface {
	// run serves until ctx ends, and returns when all queries are answered, or late has ended.
	run(ctx, late context.Context)
	close()
	gather(emit metrics.Emit)
}

// engine is one way to serve UDP.
type engine interface {
	// run serves until ctx ends, and returns when no packet is in work any more. Queries may still wait for upstream.
	run(ctx context.Context, l *Listener)
	close()
	tallies() []*tally
	sockets() []socketState
	failures() uint64 // replies that the kernel did not take
	String() string
}

// noEngine is that of a listener that no plain datagrams come to.
type noEngine struct{}

func (noEngine) run(ctx context.Context, _ *Listener) { <-ctx.Done() }
func (noEngine) close()                               {}
func (noEngine) tallies() []*tally                    { return nil }
func (noEngine) sockets() []socketState               { return nil }
func (noEngine) failures() uint64                     { return 0 }
func (noEngine) String() string                       { return "" }

// socketState is what the kernel tells about one UDP socket.
type socketState struct {
	drops  uint32 // datagrams that found the receive buffer full
	buffer uint32 // octets of receive buffer
}

// Open opens the sockets of options.Address. It fails when another socket has the address, even one that would share
// it, unless it is one of options.Siblings. Between siblings and the new sockets, the kernel gives a query to the most
// specific: a socket that is bound to its address goes before one that is bound to all.
func Open(options Options) (*Listener, error) {
	options = options.withDefaults()
	for _, sibling := range options.Siblings {
		if !canReuse {
			return nil, fmt.Errorf("listen on %s: this server listens on %s, and can go on there only after a restart",
				options.Address, sibling.address)
		}
		AllowReuse(sibling.socket)
	}
	if options.Scheme == resolver.DoQ || options.Scheme == resolver.DoH3 {
		return openQUIC(options)
	}
	stream, err := listenStream(options)
	if err != nil {
		return nil, err
	}
	const tries = 16 // with port 0, TCP's free port may be taken in UDP
	for try := 1; ; try++ {
		l, err := openWith(options, stream)
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

// listenStream opens the TCP socket. It is also the lock on the address: unlike the UDP sockets of one server it allows
// reuse of its port only if there are siblings, so that a second instance fails here.
func listenStream(options Options) (*net.TCPListener, error) {
	network, address := "tcp", options.Address
	if address.Addr().Is4() {
		network = "tcp4" // "tcp" would take 0.0.0.0 for both families
	}
	config := &net.ListenConfig{}
	if len(options.Siblings) > 0 {
		config = Reusing()
	}
	stream, err := config.Listen(context.Background(), network, address.String())
	if err != nil {
		return nil, listenError("TCP", address, err)
	}
	return stream.(*net.TCPListener), nil
}

// listenError explains why address cannot be had.
func listenError(proto string, address netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s: another process, or another instance of this server, has the %s port: %w",
			address, proto, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: not permitted; "+
			"lower net.ipv4.ip_unprivileged_port_start or take a port above it: %w", address, syscall.EACCES)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s: no interface has this address: %w", address, syscall.EADDRNOTAVAIL)
	}
	return fmt.Errorf("listen on %s, %s: %w", address, proto, err)
}

// openWith opens the UDP sockets that belong to stream.
func openWith(options Options, stream *net.TCPListener) (*Listener, error) {
	port := stream.Addr().(*net.TCPAddr).AddrPort().Port()
	l := newListener(options, netip.AddrPortFrom(options.Address.Addr(), port))
	l.socket = stream
	if options.Scheme == resolver.DoH || options.Scheme == resolver.DoGRPC {
		l.acceptor = newWeb(l, stream)
		return l, nil
	}
	l.streams = newStreams(l, stream, options.Scheme.Proto())
	l.acceptor = l.streams
	if options.Scheme == resolver.DoT {
		return l, nil
	}
	var err error
	if l.engine, err = openEngine(l.address, options); err != nil {
		return nil, listenError("UDP", l.address, err)
	}
	return l, nil
}

// newListener has all but its sockets.
func newListener(options Options, address netip.AddrPort) *Listener {
	l := &Listener{options: options, address: address, engine: noEngine{}, shared: &tally{}, sharedLog: options.Log.Buffer(),
		recorder: options.Traffic.Recorder(), handshakes: &handshakes{Handshakes: options.Handshakes}}
	l.pending, l.late.New, l.answers.New = newPending(options.Pending), l.newLate, l.newAnswers
	l.credentials.Store(options.Credentials)
	l.serving.Store(l.compile(options.Answerer, options.Blocks))
	return l
}

// newAnswers makes what answers a message of any size.
func (l *Listener) newAnswers() any {
	out := make([]byte, 0, streamReplies+lengthSize+wire.MaxMessage)
	return &answers{worker: *newWorker(l, l.shared, l.sharedLog, l.recorder), out: out}
}

// Address is where the listener listens, its port never 0.
func (l *Listener) Address() netip.AddrPort { return l.address }

// Label is the listener's name in metrics, as CoreDNS forms it: "dns://:53" for all addresses, "tls://127.0.0.1:853" for
// one.
func (l *Listener) Label() string { return Label(l.options.Scheme, l.address) }

// Label is the name in metrics of a listener on address.
func Label(scheme resolver.Scheme, address netip.AddrPort) string {
	if address.Addr() == netip.IPv6Unspecified() {
		return fmt.Sprintf("%s://:%d", scheme, address.Port())
	}
	return string(scheme) + "://" + address.String()
}

// SetResolver exchanges what answers. The old one still answers batches under way, and queries that wait for upstream;
// settle returns when it has.
func (l *Listener) SetResolver(answerer Answerer, blocks []Block) (settle func()) {
	return l.serving.Swap(l.compile(answerer, blocks)).settle
}

// SetCredentials exchanges the certificate for the connections that come.
func (l *Listener) SetCredentials(c *Credentials) {
	if old := l.credentials.Load(); old != nil && c != nil && old.options == c.options {
		return // it follows its files, and clients can go on with the sessions that they have
	}
	l.credentials.Store(c)
}

// Run serves until ctx ends. Then it takes no more queries, answers those that wait for upstream, for Options.Drain at
// most, closes the sockets and returns.
func (l *Listener) Run(ctx context.Context) {
	defer l.Close()
	late, interrupt := context.WithCancel(context.WithoutCancel(ctx))
	defer interrupt()
	l.options.Logger.Debug("listen: serving", "address", l.address, "engine", l.engine, "readers", l.options.Readers)
	var parts sync.WaitGroup
	defer context.AfterFunc(late, l.pending.interrupt)()
	parts.Go(func() { l.engine.run(ctx, l) })
	parts.Go(func() { l.acceptor.run(ctx, late) })
	if l.options.Scheme != resolver.Do53 {
		parts.Go(func() { l.followCertificate(ctx) })
	}
	<-ctx.Done()
	defer time.AfterFunc(l.options.Drain, interrupt).Stop()
	parts.Wait()
	l.pending.wait()
}

// Close gives the address back. Run calls it; only a Listener that is never run needs another call.
func (l *Listener) Close() {
	l.closing.Do(func() {
		l.engine.close()
		l.acceptor.close()
		l.sharedLog.End()
		l.recorder.End()
	})
}
