package listen

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/clusterdns/clusterdns/observe/traffic"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
)

// Options is what one Listener needs. The zero value of a field is its default.
type Options struct {
	Address  netip.AddrPort  // [::] is every address of IPv4 and IPv6; port 0 takes a free one
	Scheme   resolver.Scheme // what clients speak; default Do53
	Siblings []*Listener     // of the same program: Address may overlap theirs, such as [::] overlaps 127.0.0.1
	Answerer Answerer        // what answers, until SetResolver
	Blocks   []Block         // of Answerer

	// Credentials is the certificate, until SetCredentials; nil for none, where a proxy in front has it.
	Credentials *Credentials

	Handshakes *Handshakes // shared with other listeners; default one for this listener alone

	Readers int // threads that read UDP, at most MaxReaders; default one for each CPU that this process may use
	Buffer  int // octets of receive buffer asked for each UDP socket; default 4 MiB

	// Pending is how many queries may wait for upstream, 1 KiB each; default 16,384.
	Pending int
	// Streams is how many TCP connections there may be, 106 KiB each while they are answered and 8 KiB else; default 512.
	Streams int
	// Each is how many requests or streams of one connection of HTTP or QUIC may be under way; default 100.
	Each int
	// Requests is how many requests of HTTP and streams of QUIC may be in work, each with a goroutine; default 2,048.
	Requests int
	// Queries is how many queries one connection of TCP or TLS may ask; 0 for any number.
	Queries int

	// ReadTimeout is how long a client may take for its handshake, for the first query of a TCP connection, and for the
	// rest of a query or request that has begun; default 5 s.
	ReadTimeout  time.Duration
	IdleTimeout  time.Duration // how long a connection may take for its next query; default 10 s
	WriteTimeout time.Duration // how long a TCP client may take to read its replies; default 5 s
	Drain        time.Duration // how long queries may go on to wait for upstream after the end; default 5 s

	Log    *logs.QueryLog // where Blocks' log lines go; nil for nowhere
	Logger *slog.Logger   // default slog.Default()

	Traffic *traffic.Traffic // counts queries for the page; nil for nobody

	engine  preference
	refresh time.Duration // how often the files of the certificate are looked at; default refreshInterval
}

// preference says which engine reads UDP. All serve the same function.
type preference uint8

const (
	preferBatch  preference = iota // batch where it can run, else portable
	onlyBatch                      // recvmmsg and sendmmsg on threads of their own; Linux
	onlyPortable                   // net.UDPConn; everywhere
)

// Defaults is Options with nothing set.
func Defaults() Options { return Options{}.withDefaults() }

// withDefaults fills what is not set.
func (o Options) withDefaults() Options {
	o.Scheme = cmp.Or(o.Scheme, resolver.Do53)
	orDefault(&o.refresh, refreshInterval)
	orDefault(&o.Readers, readers())
	o.Readers = min(o.Readers, MaxReaders)
	orDefault(&o.Buffer, 4<<20)
	orDefault(&o.Pending, 16<<10)
	orDefault(&o.Streams, 512)
	orDefault(&o.Each, maxStreams)
	orDefault(&o.Requests, maxRequests)
	orDefault(&o.ReadTimeout, 5*time.Second)
	orDefault(&o.IdleTimeout, 10*time.Second)
	orDefault(&o.WriteTimeout, 5*time.Second)
	orDefault(&o.Drain, 5*time.Second)
	if o.Handshakes == nil {
		o.Handshakes = NewHandshakes()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	apart := func(l *Listener) bool {
		return !Overlaps(o.Address, l.address) || !sameCarrier(o.Scheme, l.options.Scheme)
	}
	o.Siblings = slices.DeleteFunc(slices.Clone(o.Siblings), apart)
	return o
}

func orDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Answerer turns queries into replies. *resolver.Resolver is one. Any number of goroutines call it.
type Answerer interface {
	// Answer answers a packet from memory. It must not block or allocate: a reader of packets waits for it.
	Answer(request *resolver.Request, packet, buf []byte) ([]byte, resolver.Result)
	// Wait has upstream asked what Answer or Resume has returned Pending for. It must not block. With Pending, waker is
	// woken when there is an answer.
	Wait(request *resolver.Request, wait *resolver.Wait, waker resolver.Waker) ([]byte, resolver.Result)
	// Resume goes on in request with a query whose wait has ended. It must not block.
	Resume(request *resolver.Request, wait *resolver.Wait, buf []byte) ([]byte, resolver.Result)
	// SendZone calls send with each message of a zone transfer that Answer has returned Transfer for.
	SendZone(request *resolver.Request, buf []byte, send func(message []byte) error) error
}

// Block is what a listener does around the answers of one server block. Its index is the one in
// resolver.Options.Blocks.
type Block struct {
	Zones   []string    // as in resolver.Block
	View    string      // the name of its view in metrics; "" for none
	Metrics bool        // its queries are counted (directive prometheus)
	Client  logs.Client // who asks, for the log; nil for nobody
	Log     []logs.Log  // the first that matches a query writes its line (directive log)
	Crash   bool        // a panic ends the process instead of one query (directive debug)
	Traced  bool        // the stack of a panic is logged (option stacktrace of errors)
}

// sameCarrier reports whether the sockets of two schemes are of the same protocol, so that they cannot have one port.
func sameCarrier(a, b resolver.Scheme) bool {
	return a == resolver.Do53 || b == resolver.Do53 || a.Proto().Carrier() == b.Proto().Carrier()
}
