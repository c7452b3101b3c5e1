package config

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

// Limits bounds the connections of a listener. Zero fields stand for the defaults of server/listen.
type Limits struct {
	Read        time.Duration // for a handshake, the first query of a connection, and the rest of one that has begun
	Write       time.Duration // for a client to take its replies
	Idle        time.Duration // for the next query of a connection
	Queries     int           // of one TCP or TLS connection, then it is closed; 0 for any number
	Connections int
	Streams     int // of one connection at a time
	Requests    int // of all connections at a time
	Sockets     int // of UDP
}

// The bounds that CoreDNS has for what may be written.
const (
	leastTimeout = time.Second
	mostTimeout  = 24 * time.Hour
	mostSockets  = 1024
)

// timeouts { read DURATION write DURATION idle DURATION maxtcpqueries MAXIMUM }
func (b *blockReader) timeouts(a *args) {
	l := &b.Limits
	if len(a.lines) == 0 {
		a.fail("needs a block { … } with read, write, idle or maxtcpqueries")
	}
	a.options(options{
		"read":          func(o *args) { l.Read = o.timeout() },
		"write":         func(o *args) { l.Write = o.timeout() },
		"idle":          func(o *args) { l.Idle = o.timeout() },
		"maxtcpqueries": func(o *args) { l.Queries = o.maximum() },
	})
}

// timeout reads a duration; a number alone is of seconds.
func (a *args) timeout() time.Duration {
	const want = "a duration from 1s to 24h, or a number of seconds"
	w := a.word(want)
	d, err := time.ParseDuration(w)
	if seconds, no := strconv.Atoi(w); no == nil {
		d, err = time.Duration(min(seconds, math.MaxInt32))*time.Second, nil
	}
	if err != nil || d < leastTimeout || d > mostTimeout {
		a.fail("got %q, wants %s", w, want)
	}
	return d
}

// maximum reads a number, where -1 is any number.
func (a *args) maximum() int {
	if a.peek() == "-1" {
		a.word("")
		return 0
	}
	return a.number(1, math.MaxInt32)
}

// https { max_connections NUMBER max_streams NUMBER }
func (b *blockReader) https(a *args) { b.bounds(a, resolver.DoH, 0) }

// https3 { max_connections NUMBER max_streams NUMBER }
func (b *blockReader) https3(a *args) { b.bounds(a, resolver.DoH3, 0) }

// grpc_server { max_connections NUMBER max_streams NUMBER }
func (b *blockReader) grpcServer(a *args) { b.bounds(a, resolver.DoGRPC, 0) }

// quic { max_connections NUMBER max_streams NUMBER worker_pool_size NUMBER }
func (b *blockReader) quic(a *args) { b.bounds(a, resolver.DoQ, 1) }

// bounds reads the bounds of a scheme. What is unbounded in CoreDNS, 0, has the default here: nothing that clients can
// make grow is without a bound.
func (b *blockReader) bounds(a *args, scheme resolver.Scheme, leastStreams int) {
	l := b.Bounds[scheme]
	once := func(field *int, least int) func(*args) {
		return func(o *args) {
			if *field != 0 {
				o.fail("is given twice")
			}
			if *field = o.number(least, math.MaxInt32); *field == 0 && o.err == nil {
				o.warnf("0 is not without a bound here, but the default")
			}
		}
	}
	table := options{"max_connections": once(&l.Connections, 0), "max_streams": once(&l.Streams, leastStreams)}
	if scheme == resolver.DoQ {
		table["worker_pool_size"] = once(&l.Requests, 1)
	}
	a.options(table)
	if b.Bounds == nil {
		b.Bounds = map[resolver.Scheme]Limits{}
	}
	b.Bounds[scheme] = l
	if !b.serves(scheme) {
		a.warnf("has no effect: no zone of the block has the scheme %s://", scheme)
	}
}

// serves reports whether a key of the block has the scheme.
func (b *blockReader) serves(scheme resolver.Scheme) bool {
	return slices.ContainsFunc(b.keys, func(k located) bool { return k.scheme == scheme })
}

// multisocket [NUMBER]
func (b *blockReader) multisocket(a *args) {
	if a.more() {
		b.Limits.Sockets = a.number(1, mostSockets)
	}
	a.finish()
	if !b.serves(resolver.Do53) {
		a.warnf("has no effect: no zone of the block is served over plain UDP")
	}
}

// setLimits takes the limits of the blocks at one listener, whose connections come before any query. As in CoreDNS, the
// last block that has a timeout decides, and of the rest the first.
func (l *Listener) setLimits(parts []part, warn warner) {
	kept := &l.Limits
	for _, p := range parts {
		for _, g := range []Limits{p.block.Limits, p.block.Bounds[l.Scheme]} {
			differs := false
			for _, d := range []bool{
				settle(&kept.Read, g.Read, true), settle(&kept.Write, g.Write, true), settle(&kept.Idle, g.Idle, true),
				settle(&kept.Queries, g.Queries, true), settle(&kept.Connections, g.Connections, false),
				settle(&kept.Streams, g.Streams, false), settle(&kept.Requests, g.Requests, false),
				settle(&kept.Sockets, g.Sockets, false),
			} {
				differs = differs || d
			}
			if differs {
				warn(p.block.at, "blocks before this one have other limits, and all listen on %s: of timeouts the last ones "+
					"count, of others the first", socket{l.Scheme, l.Addresses[0]})
			}
		}
	}
}

// settle takes what a block gives, and reports whether another block has given something else.
func settle[T comparable](kept *T, given T, last bool) (differs bool) {
	var none T
	if given == none || given == *kept {
		return false
	}
	differs = *kept != none
	if last || !differs {
		*kept = given
	}
	return differs
}

func summarizeTimeouts(b *Block, s *summary) {
	l := &b.Limits
	s.note(l.Read > 0, "read timeout %v", l.Read)
	s.note(l.Write > 0, "write timeout %v", l.Write)
	s.note(l.Idle > 0, "idle timeout %v", l.Idle)
	s.note(l.Queries > 0, "%d queries for each TCP connection", l.Queries)
}

func summarizeSockets(b *Block, s *summary) {
	s.note(b.Limits.Sockets > 0, "%d sockets of UDP", b.Limits.Sockets)
}

// summarizeBounds makes what `check` prints of the bounds of a scheme.
func summarizeBounds(scheme resolver.Scheme) func(*Block, *summary) {
	return func(b *Block, s *summary) {
		l := b.Bounds[scheme]
		s.note(l.Connections > 0, "%d connections of %s://", l.Connections, scheme)
		s.note(l.Streams > 0, "%d streams for each of %s://", l.Streams, scheme)
		s.note(l.Requests > 0, "%d streams of %s:// in all", l.Requests, scheme)
	}
}
