package watch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/clusterdns/clusterdns/watch/saved"
)

// Replicas ask each other for their snapshots. One that starts without the API server and without a file of its own that
// it can use asks its peers, until one has given its file or the API server is there. What comes is looked at as a file of
// its own is, kept at the path of that, and read from there.

// Peers is how the replicas of a source give each other their snapshots. The zero value is not at all.
type Peers struct {
	Ask        string // addresses with ports of those to ask, with commas between; "" for none
	Listen     string // address and port at which the own snapshot is given; "" for nowhere
	SecretFile string // has what all replicas know, and nobody else
	CertFile   string // TLS certificate, with KeyFile and CAFile; "" for none, between loopback addresses only
	KeyFile    string
	CAFile     string // authority of the peers' certificates
	Name       string // in the peers' certificates; "" for the address that is asked
}

const (
	// peerPatience is what one peer has for all of its answer: a thousandth of it is what a snapshot of 155,000 endpoints
	// takes, and a peer that stands still keeps the next one from being asked for no longer.
	peerPatience = 30 * time.Second
	// connectPatience is what a peer has to answer at all.
	connectPatience = 2 * time.Second
	// askPause is between the first two rounds of asking: peers that start too have nothing to give yet. It doubles up to
	// longestPause, since a peer of other options gives all of its file each time.
	askPause     = 5 * time.Second
	longestPause = time.Minute
	// PeerConns is how many connections the giving side has at a time, and connectPause how much time passes between two:
	// any pod can open them, and a handshake costs about a millisecond.
	PeerConns    = 16
	connectPause = 50 * time.Millisecond

	snapshotPath = "/snapshot"
	bearer       = "Bearer "
)

// The bounds of a secret: what is shorter can be guessed, what is longer is another file.
const (
	leastSecret = 16
	mostSecret  = 4 << 10
)

// Asked is what came of asking a peer, Given what came of a request of one.
type (
	Asked string
	Given string
)

// The results.
const (
	AskedTaken   Asked = "taken"
	AskedRefused Asked = "refused" // it gave what cannot be used
	AskedFailed  Asked = "failed"  // it gave nothing, or not in time

	GivenWhole   Given = "given"
	GivenDenied  Given = "denied"  // who asked does not know the secret
	GivenBusy    Given = "busy"    // another one is being given
	GivenUnready Given = "unready" // nothing has been read of the API server, or written, since the start
	GivenFailed  Given = "failed"
)

// AskedResults and GivenResults are all of them.
var (
	AskedResults = []Asked{AskedTaken, AskedRefused, AskedFailed}
	GivenResults = []Given{GivenWhole, GivenDenied, GivenBusy, GivenUnready, GivenFailed}
)

// CheckSecret returns why the content of a file is no secret that peers may share.
func CheckSecret(content []byte) error {
	text := strings.TrimSpace(string(content))
	if n := len(text); n < leastSecret || len(content) > mostSecret {
		return fmt.Errorf("has %d octets, and a secret has %d to %d", n, leastSecret, mostSecret)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) { // it travels in a header
		return errors.New("has more than one line of letters, digits and signs of ASCII")
	}
	return nil
}

// readSecret reads the secret anew, since it may have been changed.
func readSecret(file string) (string, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", cmp.Or(err, errors.New(file+" is no file"))
	}
	content, err := io.ReadAll(io.LimitReader(f, mostSecret+1))
	if err != nil {
		return "", err
	}
	if err := CheckSecret(content); err != nil {
		return "", fmt.Errorf("%s %w", file, err)
	}
	return strings.TrimSpace(string(content)), nil
}

// knows reports whether a request has the secret. How long it takes says nothing of the secret.
func knows(r *http.Request, secret string) bool {
	said, ok := strings.CutPrefix(r.Header.Get("Authorization"), bearer)
	a, b := sha256.Sum256([]byte(said)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && ok
}

// search is the search for a snapshot of a peer. It is of the goroutine of run alone.
type search struct {
	*snapshots
	ctx     context.Context
	cancel  context.CancelFunc
	asking  sync.WaitGroup
	offers  chan *saved.Received // nil while nobody is asked
	present chan struct{}        // that of the snapshots; nil when there is nothing to end
}

// search is a search that has not begun. It has ended already if there are no peers, or the own file has been taken: then
// lists may come. Otherwise they wait for its end.
func (n *snapshots) search(ctx context.Context) *search {
	s := &search{snapshots: n, present: n.present}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if n.file.Peers.Ask == "" || n.settled() {
		s.end()
	}
	return s
}

// begin asks. A start that reads the API server at once does not come here.
func (s *search) begin() {
	if s.present == nil || s.offers != nil {
		return
	}
	s.offers = make(chan *saved.Received)
	offers := s.offers
	s.asking.Go(func() {
		select {
		case <-s.owned: // what a peer gives comes in the place of the file
			s.ask(s.ctx, offers)
		case <-s.ctx.Done():
		}
	})
}

// end asks nobody any more, and lets lists come.
func (s *search) end() {
	s.cancel()
	s.offers, s.present = nil, nil
	close(s.read)
}

// stop is the end of the program.
func (s *search) stop() {
	s.cancel()
	inTime(s.asking.Wait)
}

// settled reports whether objects of a file are held, or none can be: the disk does not answer.
func (n *snapshots) settled() bool {
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	return n.gaveUp || n.state.restored != 0
}

// take puts the snapshot of a peer where the own file is, has its objects held and shows them. It reports whether nothing
// more is to be asked for.
func (n *snapshots) take(offer *saved.Received) bool {
	var err error
	if !inTime(func() { err = offer.Keep() }) {
		return true
	}
	if err != nil {
		n.complain("kubernetes: the snapshot of a peer cannot be kept: " + n.file.Path + ": " + err.Error())
		return false
	}
	n.restoreInTime()
	n.serve()
	return n.settled()
}

// ask asks the peers in turn, and again, until ctx ends. Each snapshot that passes all checks goes to offers; whoever
// receives it keeps or drops it.
func (n *snapshots) ask(ctx context.Context, offers chan<- *saved.Received) {
	pause := askPause
	for {
		for _, peer := range strings.Split(n.file.Peers.Ask, ",") {
			offer := n.askPeer(ctx, peer)
			if offer == nil {
				continue
			}
			select {
			case offers <- offer:
			case <-ctx.Done():
				offer.Drop()
				return
			}
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		case <-ctx.Done():
			return
		}
	}
}

// askPeer is the snapshot of a peer, nil if there is none that can be used: then the log says why.
func (n *snapshots) askPeer(ctx context.Context, peer string) *saved.Received {
	asking, cancel := context.WithTimeout(ctx, n.patience)
	defer cancel()
	offer, err := n.fetch(asking, peer)
	if err == nil {
		if err = n.check(&offer.About); err != nil {
			offer.Drop()
		}
	}
	if ctx.Err() != nil { // the API server is there, and nobody waits for it any more
		if err == nil {
			offer.Drop()
		}
		return nil
	}
	result := AskedTaken
	refusal, refused := errors.AsType[*saved.Refusal](err)
	if err != nil {
		result, offer = AskedFailed, nil
		if refused {
			result = AskedRefused
		}
	}
	n.state.mu.Lock()
	n.counters.Asked[result]++
	if refused {
		n.counters.Refused[refusal.Reason]++
	}
	n.state.mu.Unlock()
	if err == nil {
		n.log.Info("kubernetes: a peer has given its snapshot of "+clock(offer.At), "peer", peer, "octets", offer.Size)
		return offer
	}
	if omitted, ok := n.unasked.Allow(time.Now(), time.Minute); ok {
		what := "kubernetes: the peer " + peer + " gives no snapshot: "
		if refused {
			what = "kubernetes: the snapshot of the peer " + peer + " is refused: it "
		}
		n.log.Warn(what+err.Error(), "omitted", omitted)
	}
	return nil
}

// fetch takes the file of a peer, whole.
func (n *snapshots) fetch(ctx context.Context, peer string) (*saved.Received, error) {
	p := &n.file.Peers
	secret, err := readSecret(p.SecretFile)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{ // without a proxy: the secret is for the peer
		DialContext:           (&net.Dialer{Timeout: connectPatience}).DialContext,
		TLSHandshakeTimeout:   connectPatience,
		ResponseHeaderTimeout: connectPatience, MaxResponseHeaderBytes: 8 << 10,
		DisableKeepAlives: true, DisableCompression: true,
	}
	scheme := "http://"
	if p.CertFile != "" {
		scheme = "https://"
		roots := x509.NewCertPool()
		content, err := os.ReadFile(p.CAFile)
		if err != nil {
			return nil, err
		}
		if !roots.AppendCertsFromPEM(content) {
			return nil, errors.New(p.CAFile + " has no certificate in PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: p.Name}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+peer+snapshotPath, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", bearer+secret)
	reply, err := transport.RoundTrip(request) // which follows no redirection
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(reply.Body, 200))
		said := strings.ReplaceAll(strings.TrimSpace(string(text)), secret, "…") // what listens there may be an echo
		return nil, fmt.Errorf("%s: %q", reply.Status, said)
	}
	return saved.Receive(n.file.Path, reply.Body, n.limit)
}

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
