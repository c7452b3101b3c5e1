package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// Asker asks a Query, and is told what becomes of it: once, by Reply or by Fail.
type Asker interface {
	// Reply is given the reply, which is not the caller's to keep. It is called by the receiving goroutine, which it must
	// not block.
	Reply(reply []byte, c *datagram.Cycle)

	// Fail says that there is no reply. It may block.
	Fail(err error)
}

// Asked is how a query is to be asked.
type Asked struct {
	Packet []byte // LengthSize octets and the query; Ask writes the length and the ID
	Now    time.Time
	Wait   time.Duration // for the reply, once the query is sent
	Until  time.Time     // for everything
	Out    *datagram.Outbox
	Sent   func(local netip.AddrPort) // told just before it leaves; may be nil, and must neither block nor call the engine
	Grow   func(octets int) bool      // makes room for octets of a long reply, or reports that there is none
}

// LengthSize is the octets of the length before a message, RFC 1035 section 4.2.2.
const LengthSize = 2

// Bounds of the connections to one upstream. All its connections together have room for 2048 queries, which is what the
// process asks at a time.
const (
	Depth     = 256      // queries on one connection, with those that were given up and whose replies may still come
	MostConns = 8        // connections that take queries
	MostAll   = 16       // with those that end with their last query
	Base      = 4 << 10  // octets of replies that a connection has room for without being asked
	readAhead = 16 << 10 // octets that are read at a time
)

// The errors of queries that are to be asked in another way.
var (
	// ErrAlone says that the query may have been lost because others were under way on its connection.
	ErrAlone = errors.New("the upstream may take one query at a time on a connection")
	// ErrFull says that there is no connection for a query whose own has ended.
	ErrFull = errors.New("all connections are full")
)

// ErrNoRoom is the error of a query whose reply there is no room for.
var ErrNoRoom = errors.New("no room for a reply over TCP")

// Options are those of a Pool.
type Options struct {
	Receiver *datagram.Engine
	Dial     func(context.Context) (net.Conn, error) // over TCP
	TLS      *tls.Config                             // nil for TCP
	Timeout  time.Duration                           // to connect
	Stall    time.Duration                           // without a reply to the oldest query, after which others go elsewhere
	MaxIdle  int                                     // connections without a query
	Expire   time.Duration                           // of those
	MaxAge   time.Duration                           // of all; 0 for no such bound
	Used     func(reused bool)                       // told of each query that is given a connection; as Asked.Sent
	Log      *slog.Logger
}

// Counts are the state of a Pool.
type Counts struct {
	Conns   int
	Queries int  // under way on them
	Alone   bool // the upstream is asked one query at a time
}
