package listen

import (
	"context"
	"crypto"
	"crypto/tls"
	"io"
	"sync/atomic"
	"time"
)

// Handshakes bounds how many TLS handshakes the listeners of a program compute at a time, whatever their transport. One
// costs as much CPU as hundreds of queries: a flood of them must leave processors to those who ask. It holds back
// computing alone, not clients that are slow to send.
type Handshakes struct{ computing chan struct{} }

// NewHandshakes has room for as many as half the processors.
func NewHandshakes() *Handshakes {
	return &Handshakes{computing: make(chan struct{}, max(1, readers()/2))}
}

// handshakes are those of one listener.
type handshakes struct {
	*Handshakes
	waiting atomic.Int64 // for their turn
	failed  atomic.Uint64
}

// turn is one handshake's part in Handshakes. One goroutine takes it, any may give it back, and again.
type turn struct {
	handshakes *handshakes
	held       atomic.Bool
}

// take waits for the turn, unless it is held, or ctx ends.
func (t *turn) take(ctx context.Context) {
	if t.held.Load() {
		return
	}
	t.handshakes.waiting.Add(1)
	defer t.handshakes.waiting.Add(-1)
	select {
	case t.handshakes.computing <- struct{}{}:
		t.held.Store(true)
	case <-ctx.Done():
	}
}

// giveBack lets another handshake compute, if this one does.
func (t *turn) giveBack() {
	if t.held.CompareAndSwap(true, false) {
		<-t.handshakes.computing
	}
}

// quicTurn is how long a handshake of QUIC has its turn until it signs: longer than it computes until then. crypto/tls
// does not say when it waits for a client of QUIC, as it does after a HelloRetryRequest, or that a session goes on, where
// nothing is signed.
const quicTurn = time.Millisecond

// begin takes the turn of the handshake that hello begins. A connection below TLS gives it back when it reads or writes.
func begin(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	switch c := hello.Conn.(type) {
	case interface{ compute(context.Context) }:
		c.compute(hello.Context())
	default:
		if c, ok := hello.Context().Value(connKey{}).(*quicConn); ok {
			c.turn.take(hello.Context())
			c.unsigned = time.AfterFunc(quicTurn, c.turn.giveBack)
		}
	}
	return nil, hello.Context().Err()
}

// signerFor makes the key of a certificate sign for the connection that hello begins, in its turn.
func signerFor(hello *tls.ClientHelloInfo, pair *tls.Certificate) (*tls.Certificate, error) {
	c, ok := hello.Context().Value(connKey{}).(*quicConn)
	if !ok {
		return pair, nil
	}
	own := *pair
	own.PrivateKey = &signer{Signer: pair.PrivateKey.(crypto.Signer), conn: c, ctx: hello.Context()}
	return &own, nil
}

// signer is a key that signs in the turn of a handshake of QUIC, which ends with it: the rest costs little.
type signer struct {
	crypto.Signer
	conn *quicConn
	ctx  context.Context
}

// Sign signs.
func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.conn.unsigned.Stop()
	s.conn.turn.take(s.ctx)
	defer s.conn.turn.giveBack()
	return s.Signer.Sign(rand, digest, opts)
}
