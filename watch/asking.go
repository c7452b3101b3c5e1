package watch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/watch/saved"
)

// Asking peers for their snapshots.

// search is the search for a snapshot of a peer. It is of the goroutine of run alone.
type search struct {
	*snapshots
	ctx     context.Context
	cancel  context.CancelFunc
	asking  sync.WaitGroup
	offers  chan *saved.Received // nil while nobody is asked
	present chan struct{}        // that of the snapshots; nil when there is nothing to end
	taken   chan bool            // says whether what is being taken is all that is needed; nil while nothing is
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

// next has the next snapshot of a peer, while none is being taken.
func (s *search) next() <-chan *saved.Received {
	if s.taken != nil {
		return nil
	}
	return s.offers
}

// begin to take a snapshot. The disk has its time for that, and the API server may come back meanwhile.
func (s *search) take(offer *saved.Received) {
	taken := make(chan bool, 1)
	s.taken = taken
	s.asking.Go(func() { taken <- s.snapshots.take(offer) })
}

// tried is the end of taking one.
func (s *search) tried(settled bool) {
	s.taken = nil
	if settled && s.present != nil {
		s.end()
	}
}

// end asks nobody any more, and lets lists come. Of what has not been taken until now nothing will be.
func (s *search) end() {
	s.cancel()
	s.offers, s.present = nil, nil
	if s.taken != nil {
		s.abandon()
	}
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
	done, err := n.place(offer.Keep)
	if err == errHeldUp {
		inTime(offer.Drop) // Keep does so where it fails
	}
	if err != nil {
		n.complain("kubernetes: the snapshot of a peer cannot be kept: " + n.file.Path + ": " + err.Error())
		return false
	}
	if !done {
		return true
	}
	n.restoreInTime()
	n.serve()
	return n.settled()
}

// abandon waits for no objects of a file any more, unless they are all held.
func (n *snapshots) abandon() {
	n.state.change(func() {
		if n.state.restored == 0 {
			n.gaveUp = true
			n.state.dropRestored()
		}
	})
}

// ask asks the peers in turn, and again, until ctx ends. Each snapshot that passes all checks goes to offers; whoever
// receives it keeps or drops it.
func (n *snapshots) ask(ctx context.Context, offers chan<- *saved.Received) {
	peers, pause := strings.Split(n.file.Peers.Ask, ","), n.pause
	for i := 0; ; i = (i + 1) % len(peers) {
		offer := n.askPeer(ctx, peers[i])
		if offer != nil {
			select {
			case offers <- offer:
			case <-ctx.Done():
				offer.Drop()
				return
			}
		} else if i < len(peers)-1 {
			continue
		}
		select { // all have been asked, or it is seen whether the objects of this one can be used
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
		roots, err := p.readAuthority()
		if err != nil {
			return nil, err
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
