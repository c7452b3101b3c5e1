package listen

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

// Places are the connections that one port has room for. When there is none for another one, a connection that keeps
// this server waiting is closed: of the client that has the most of them, the one that has done nothing for longest.
// So no client can hold what another needs, and who keeps many connections has his own oldest closed. A client is an
// address, or a /64 of IPv6, whose addresses one host may have all.
//
// Any number of goroutines may use it.
type Places struct {
	limit    int
	each     int           // places of one client
	patience time.Duration // how long a connection may do nothing before it must give way

	mu      sync.Mutex
	open    int
	clients map[netip.Addr]*holder
	left    chan struct{} // closed when a place becomes free; nil while nobody waits for one
	next    time.Time     // before this, nothing is closed for another one
	counts  PlaceCounts
}

// Place is what one connection holds.
type Place struct {
	holder *holder // nil without a place
	since  time.Time
	work   int // queries under way, while the client waits for this server
	close  func()

	// Asked reports whether the client waits for an answer by now; it must not block. It is asked before the place is
	// taken away, since a request may have come that nobody has read yet. Nil where that does not matter.
	Asked func() bool
}

// holder is a client with its connections.
type holder struct {
	client netip.Addr
	places map[*Place]struct{}
}

// PlaceCounts is what metrics tell about places.
type PlaceCounts struct {
	Open                   int
	Came, Evicted, Refused uint64
}

// NewPlaces has room for limit connections, each of one client.
func NewPlaces(limit, each int) *Places {
	return &Places{limit: limit, each: min(each, limit), clients: map[netip.Addr]*holder{}}
}

// Connections are not closed for others more often than once in evictionInterval, but for evictionBurst that catch up. A
// client that comes back as often as it is closed would else take all CPU, and close the others before they can send a
// request.
const (
	evictionInterval = 300 * time.Microsecond
	evictionBurst    = 25 * evictionInterval
)

// Take gives p, of a new connection from client, a place, or reports that there is none. If p has to give it back to
// make room for another one, close is called, which must not block.
func (s *Places) Take(p *Place, client netip.Addr, close func()) bool {
	s.mu.Lock()
	s.counts.Came++
	evicted := s.counts.Evicted
	ok := s.take(p, client, close)
	if !ok {
		s.counts.Refused++
	}
	var pause time.Duration
	if s.counts.Evicted > evicted {
		now := time.Now()
		s.next = later(s.next, now.Add(-evictionBurst)).Add(evictionInterval)
		pause = s.next.Sub(now)
	}
	s.mu.Unlock()
	time.Sleep(pause)
	return ok
}

// TryTake is Take for the many requests of one connection, each with a goroutine: where Take waits before it closes yet
// another one, it refuses at once.
func (s *Places) TryTake(p *Place, client netip.Addr, close func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Came++
	now, evicted := time.Now(), s.counts.Evicted
	next := later(s.next, now.Add(-evictionBurst)).Add(evictionInterval)
	own := s.clients[resolver.Host(client)]
	full := s.open >= s.limit || own != nil && len(own.places) >= s.each
	if full && next.After(now) || !s.take(p, client, close) {
		s.counts.Refused++
		return false
	}
	if s.counts.Evicted > evicted {
		s.next = next
	}
	return true
}

// Full reports whether client has all places that one client may have.
func (s *Places) Full(client netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.clients[resolver.Host(client)]
	return own != nil && len(own.places) >= s.each
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Await is Take for a connection that can wait for a place, at most until ctx ends.
func (s *Places) Await(ctx context.Context, p *Place, client netip.Addr, close func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Came++
	for !s.take(p, client, close) {
		if s.left == nil {
			s.left = make(chan struct{})
		}
		left := s.left
		s.mu.Unlock()
		select {
		case <-left:
		case <-time.After(s.patience): // somebody may have done nothing for so long by now
		case <-ctx.Done():
		}
		s.mu.Lock()
		if ctx.Err() != nil {
			s.counts.Refused++
			return false
		}
	}
	return true
}

func (s *Places) take(p *Place, client netip.Addr, close func()) bool {
	now, client := time.Now(), resolver.Host(client)
	own := s.clients[client]
	if own == nil {
		own = &holder{client: client, places: map[*Place]struct{}{}}
	}
	if s.open >= s.limit || len(own.places) >= s.each {
		gone := s.yielding(own, now)
		for gone != nil && gone.work == 0 && gone.Asked != nil && gone.Asked() {
			gone.work++
			gone = s.yielding(own, now)
		}
		if gone == nil {
			return false
		}
		s.counts.Evicted++
		s.leave(gone)
		gone.close()
	}
	s.clients[client] = own
	p.holder, p.since, p.close = own, now, close
	own.places[p] = struct{}{}
	s.open++
	return true
}

// yielding is the place that own may have, nil if there is none.
func (s *Places) yielding(own *holder, now time.Time) *Place {
	if len(own.places) >= s.each {
		return own.oldest(now.Add(-s.patience), false)
	}
	var most, largest *holder
	var gone *Place
	for _, h := range s.clients {
		if largest == nil || len(h.places) > len(largest.places) {
			largest = h
		}
		old := h.oldest(now.Add(-s.patience), false)
		if old == nil || most != nil && len(most.places) > len(h.places) {
			continue
		}
		if most == nil || len(h.places) > len(most.places) || old.since.Before(gone.since) {
			most, gone = h, old
		}
	}
	if gone == nil && len(largest.places) > len(own.places)+1 { // one whose client waits
		gone = largest.oldest(now, true)
	}
	return gone
}

// oldest is the place that nothing has happened at for longest, and not after the latest time. Those with queries under
// way count only if working is set.
func (h *holder) oldest(latest time.Time, working bool) (oldest *Place) {
	for p := range h.places {
		if p.work > 0 && !working || p.since.After(latest) {
			continue
		}
		if oldest == nil || p.since.Before(oldest.since) {
			oldest = p
		}
	}
	return oldest
}

// Touch notes that the client of p has done something. It reports false if p has lost its place.
func (s *Places) Touch(p *Place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.since = time.Now()
	return p.holder != nil
}

// Keep notes that the client of p has asked, for the last time: it waits for this server from now on.
func (s *Places) Keep(p *Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.work++
}

// Half notes that the client of p has sent a part of a request, and that the rest is not there: it goes before those that
// have sent nothing yet, of which most have just come.
func (s *Places) Half(p *Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.since = p.since.Add(-time.Hour)
}

// begin notes that p has one more query under way. It reports false if p has lost its place.
func (s *Places) begin(p *Place) (end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := p.holder
	if h == nil {
		return nil, false
	}
	p.work++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.work--
		p.since = time.Now()
	}, true
}

// Leave gives the place of p back, if it has one.
func (s *Places) Leave(p *Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(p)
}

func (s *Places) leave(p *Place) {
	h := p.holder
	if h == nil {
		return
	}
	p.holder = nil
	delete(h.places, p)
	s.open--
	s.forget(h)
	if s.left != nil {
		close(s.left)
		s.left = nil
	}
}

// forget drops a client without connections.
func (s *Places) forget(h *holder) {
	if len(h.places) == 0 {
		delete(s.clients, h.client)
	}
}

// Counts is what there is, and what has become of the connections that came.
func (s *Places) Counts() PlaceCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.counts
	counts.Open = s.open
	return counts
}
