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

// give gives the own snapshot to peers that ask for it, until ctx ends. An address that cannot be had is tried again: a
// reload starts a source before it ends the one in whose place it comes.
func (n *snapshots) give(ctx context.Context) {
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
	defer context.AfterFunc(ctx, func() { server.Close() })()
	defer inTime(func() { // the one who is given it is told by his connection's end
		n.giving <- struct{}{}
		<-n.giving
	})
	bounded := &boundedListener{Listener: listener, places: make(chan struct{}, PeerConns)}
	if p.CertFile == "" {
		return server.Serve(bounded)
	}
	server.TLSConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile) // read anew, since it may have been renewed
		if err != nil {
			n.complain("kubernetes: the snapshot is given to no peers: " + err.Error())
		}
		return &pair, err
	}}
	return server.ServeTLS(bounded, "", "")
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
	result := n.givePeer(w, r)
	n.state.mu.Lock()
	n.counters.Given[result]++
	n.state.mu.Unlock()
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

// boundedListener accepts a bounded number of connections at a time, one after the other.
type boundedListener struct {
	net.Listener
	places chan struct{}
	next   time.Time // when the next may be accepted
}

// Accept implements net.Listener. One goroutine calls it.
func (l *boundedListener) Accept() (net.Conn, error) {
	time.Sleep(time.Until(l.next))
	l.places <- struct{}{}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	l.next = time.Now().Add(connectPause)
	return &boundedConn{Conn: conn, places: l.places}, nil
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	places chan struct{}
	once   sync.Once
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.once.Do(func() { <-c.places })
	return c.Conn.Close()
}
