package watch

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/watch/saved"
)

// Giving the own snapshot to peers.

// give gives the own snapshot to peers that ask for it, until ctx ends. It listens once answers come from the source: a
// reload starts it before it ends the one in whose place it comes, which has the address until then. An address that cannot
// be had is tried again.
func (n *snapshots) give(ctx context.Context) {
	select {
	case <-n.owned:
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", n.file.Peers.Listen)
		if err == nil {
			err = n.giveAt(ctx, listener)
		}
		if ctx.Err() != nil {
			return
		}
		n.complain("kubernetes: the snapshot is given to no peers: " + err.Error())
		select {
		case <-time.After(askPause):
		case <-ctx.Done():
		}
	}
}

// complain logs what is wrong with giving or keeping, once in a while.
func (n *snapshots) complain(line string) {
	if omitted, ok := n.ungiven.Allow(time.Now(), time.Minute); ok {
		n.log.Error(line, "omitted", omitted)
	}
}

// giveAt serves at listener, and closes it.
func (n *snapshots) giveAt(ctx context.Context, listener net.Listener) error {
	p := &n.file.Peers
	server := &http.Server{
		Handler:           http.HandlerFunc(n.answerPeer),
		ReadHeaderTimeout: connectPatience, ReadTimeout: connectPatience, WriteTimeout: n.patience,
		MaxHeaderBytes: 8 << 10,
		ErrorLog:       slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
		TLSNextProto:   map[string]func(*http.Server, *tls.Conn, http.Handler){}, // a reply per connection needs no HTTP/2
	}
	server.SetKeepAlivesEnabled(false)
	var serving sync.WaitGroup
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connection{}, bounded(c))
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			serving.Add(1)
		case http.StateActive: // octets have come, and the server answers itself what is no request
			bounded(c).result = GivenInvalid
			bounded(c).asks()
		case http.StateClosed:
			n.countGiven(resultOf(c))
			serving.Done()
		}
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	defer inTime(serving.Wait) // the one who is given it is told by his connection's end
	defer server.Close()
	few := newPeerListener(listener, func() { n.countGiven(GivenCrowded) })
	if p.CertFile == "" {
		return server.Serve(few)
	}
	server.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := p.readPair()
		if err != nil {
			n.complain("kubernetes: the snapshot is given to no peers: " + err.Error())
		}
		return pair, err
	}}
	return server.ServeTLS(few, "", "")
}

// bounded is the connection that was accepted.
func bounded(c net.Conn) *boundedConn {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	return c.(*boundedConn)
}

// connection is the key of the *boundedConn in the context of its request.
type connection struct{}

// resultOf is what came of a connection that has ended.
func resultOf(c net.Conn) Given {
	if result := bounded(c).result; result != "" {
		return result
	}
	if over, encrypted := c.(*tls.Conn); encrypted && !over.ConnectionState().HandshakeComplete {
		return GivenHandshake
	}
	return GivenSilent
}

func (n *snapshots) countGiven(result Given) {
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	n.counters.Given[result]++
}

// answerPeer answers a request.
func (n *snapshots) answerPeer(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if cause := recover(); cause != nil {
			n.panics.Count(n.log, "snapshot peers", cause)
		}
	}()
	if r.Method != http.MethodGet || r.URL.Path != snapshotPath {
		http.NotFound(w, r)
		return
	}
	conn := r.Context().Value(connection{}).(*boundedConn)
	conn.result = GivenFailed // unless it comes to an end
	conn.result = n.givePeer(w, r)
}

func (n *snapshots) givePeer(w http.ResponseWriter, r *http.Request) Given {
	secret, err := readSecret(n.file.Peers.SecretFile)
	if err != nil {
		n.complain("kubernetes: the snapshot is given to no peers: " + err.Error())
		http.Error(w, "the secret cannot be read", http.StatusServiceUnavailable)
		return GivenFailed
	}
	if !knows(r, secret) {
		if omitted, ok := n.denied.Allow(time.Now(), time.Minute); ok {
			n.log.Warn("kubernetes: somebody at "+r.RemoteAddr+" asks for the snapshot with another secret", "omitted", omitted)
		}
		http.Error(w, "another secret", http.StatusUnauthorized)
		return GivenDenied
	}
	select {
	case n.giving <- struct{}{}:
		defer func() { <-n.giving }()
	default:
		http.Error(w, "another peer is given the snapshot", http.StatusServiceUnavailable)
		return GivenBusy
	}
	if !n.complete() || !n.written() {
		http.Error(w, "no snapshot yet", http.StatusServiceUnavailable)
		return GivenUnready
	}
	f, size, err := saved.Raw(n.file.Path)
	if err != nil {
		n.complain("kubernetes: the snapshot is given to no peers: " + n.file.Path + ": " + err.Error())
		http.Error(w, "the snapshot cannot be read", http.StatusServiceUnavailable)
		return GivenFailed
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", fmt.Sprint(size))
	if _, err := io.CopyN(w, f, size); err != nil {
		return GivenFailed
	}
	return GivenWhole
}

// written reports whether the file is of this process.
func (n *snapshots) written() bool {
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	return n.counters.Writes > 0
}

// countPeers adds what is counted of peers. The state is locked.
func (n *snapshots) countPeers(c *SnapshotCounters) {
	if n.file.Peers == (Peers{}) {
		c.Asked, c.Given = nil, nil
		return
	}
	c.Asked, c.Given, c.Panics = maps.Clone(c.Asked), maps.Clone(c.Given), n.panics.Total()
}
