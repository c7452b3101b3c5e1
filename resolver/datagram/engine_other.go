//go:build !linux

package datagram

import (
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/observe"
)

// Engine cannot ask here: whoever wants to finds another way.
type Engine struct{ Panics observe.Panics }

// Peer is an upstream that is asked over UDP.
type Peer struct {
	Address    netip.AddrPort
	Source     netip.Addr
	Mismatches atomic.Uint64
}

// Query is a query that waits for its reply.
type Query struct{}

// Outbox collects queries.
type Outbox struct{}

// Start has nothing to do.
func (*Engine) Start(*slog.Logger) {}

// Running reports whether there is nothing to wait for.
func (*Engine) Running() bool { return true }

// Stop has nothing to do.
func (*Engine) Stop() {}

// Ask asks nothing.
func (*Engine) Ask(*Query, Asker, *Peer, Asked) (outcome Outcome, reused bool) { return Unable, false }

// Cancel has nothing to take back.
func (*Engine) Cancel(*Query) bool { return false }

// Close has nothing to give up.
func (*Engine) Close(*Peer) {}

// Open is how many sockets are open: none.
func (*Engine) Open(*Peer) int { return 0 }

// Flush has nothing to send.
func (*Outbox) Flush() int { return 0 }
