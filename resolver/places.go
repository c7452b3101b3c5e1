package resolver

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/resolver/stream"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Bounds of what the process asks upstream at a time.
const (
	MaxAsked       = 2048     // questions
	MaxReplyOctets = 16 << 20 // octets of replies that are coming over TCP
)

const (
	ofFree        = 2  // times what is free: the most that one client or domain has
	ofFreeForward = 7  // and the most that one forward has
	sampled       = 16 // shares that are looked at for the heaviest
	patience      = 500 * time.Millisecond
)

// asked is what all forwards of the process share: the counts of what they ask upstream, and what asks it over UDP, TCP
// and TLS.
type asked struct {
	questions, octets atomic.Int64
	engine            datagram.Engine
	streams           stream.Engine
}

// places are the questions that one forward asks upstream. What anybody may have of them depends on what he leaves to
// the others: a client, or a domain, has at most ofFree times as many places as are free. So k of them that take all
// that they get leave one place in 2k+1 free, whoever they are, and one alone has two thirds. A forward has at most
// ofFreeForward times as many as it leaves to other forwards. The rule for the octets of replies is the same.
//
// Where a share is used up, its oldest question gives way to the new one if it has had its time, or if the new one's
// client or domain has fewer: an answer comes within milliseconds mostly, so the oldest is the most likely to get none.
// Where the forward has none left, that is the oldest of one of its heaviest clients or domains.
// The forwarder's mutex guards it.
type places struct {
	process  *asked
	limit    int // max_concurrent, or MaxAsked
	all      share
	clients  map[netip.Addr]*share
	domains  map[uint64]*share
	spare    []*share // of nobody, to be used again
	refused  uint64   // questions that got no place, or lost theirs
	rejected uint64   // those of them that max_concurrent kept out
}

// The shares that a place counts for.
const (
	ofForward = iota
	ofClient
	ofDomain
	sharesEach
)

// share is what one client, domain or forward has.
type share struct {
	used, octets int
	probes       int         // places of questions below silent domains
	first, last  *askedPlace // oldest first
}

// askedPlace is that of one question.
type askedPlace struct {
	client netip.Addr
	domain uint64
	probe  bool // the question is below a silent domain
	since  time.Time
	octets int               // of a reply that is coming
	end    func(cause error) // stops the question
	asked  netip.AddrPort    // the upstream that was asked last; zero for none

	taken          bool
	shares         [sharesEach]*share
	next, previous [sharesEach]*askedPlace
}

func newPlaces(limit int, process *asked) places {
	return places{process: process, limit: limit, clients: map[netip.Addr]*share{}, domains: map[uint64]*share{}}
}

// overtaken is the error of a question that has lost its place, or got none; message is what its clients are told.
type overtaken struct{ message *message }

func (o overtaken) Error() string { return o.message.text }

// full are the messages for questions without a place, by the share that is used up.
var full = [sharesEach]string{
	ofForward: edeManyForwarded, ofClient: edeManyOfClient, ofDomain: edeManyOfDomain,
}

// take gives p a place. If there is none, it returns the message for the clients.
func (a *places) take(p *askedPlace) *message {
	a.share(p)
	for which, s := range p.shares {
		if s.used < a.most(which) {
			continue
		}
		why := a.why(which)
		if which == ofForward {
			s = a.heaviest()
		}
		if !yields(s.first, p) {
			a.refused++
			a.forget(p)
			return why
		}
		a.evict(s.first, why)
		if (which == ofForward || s.used >= a.most(which)) && yields(s.first, p) {
			a.evict(s.first, why) // one more, until nobody has more than its share by now
		}
		a.share(p)
		break // there is one place more now, and the other shares have what they had
	}
	for which, s := range p.shares {
		s.used++
		s.link(which, p)
	}
	if p.probe {
		p.shares[ofClient].probes++
	}
	p.taken = true
	a.process.questions.Add(1)
	return nil
}

// evict takes the place of p away.
func (a *places) evict(p *askedPlace, why *message) {
	a.refused++
	a.leave(p)
	p.end(overtaken{why})
}

// heaviest is the share of a client or domain that has the most places, of some that chance picks.
func (a *places) heaviest() *share {
	most := heaviest(a.clients, &share{})
	return heaviest(a.domains, most)
}

func heaviest[K comparable](all map[K]*share, most *share) *share {
	n := 0
	for _, s := range all {
		if s.used > most.used {
			most = s
		}
		if n++; n == sampled {
			break
		}
	}
	return most
}

// most is how many places a share may have.
func (a *places) most(which int) int {
	free := min(a.limit-a.all.used, room(MaxAsked-int(a.process.questions.Load()), a.all.used))
	if which == ofForward {
		return a.all.used + free
	}
	return ofFree * free
}

// room is how much more a forward that has used may take when free is left in the process.
func room(free, used int) int {
	return max(0, (ofFreeForward*free-used+ofFreeForward)/(ofFreeForward+1))
}

// why is the message for a question that the share keeps out. It is about this moment, so it is not cached.
func (a *places) why(which int) *message {
	if which == ofForward && a.all.used >= a.limit {
		a.rejected++
		return rejection()
	}
	return momentary(wire.ServerFailure, wire.Other, full[which])
}

// yields reports whether old gives way to p.
func yields(old, p *askedPlace) bool {
	if old == nil {
		return false
	}
	fewer := p.shares[ofClient].used+1 < old.shares[ofClient].used || p.shares[ofDomain].used+1 < old.shares[ofDomain].used
	return fewer || p.since.Sub(old.since) >= patience
}

// leave gives the place of p back, unless it has been lost.
func (a *places) leave(p *askedPlace) {
	if !p.taken {
		return
	}
	a.grow(p, -p.octets)
	for which, s := range p.shares {
		s.used--
		s.unlink(which, p)
	}
	if p.probe {
		p.shares[ofClient].probes--
	}
	p.taken = false
	a.process.questions.Add(-1)
	a.forget(p)
}

// grow makes the reply that is coming for p larger by more octets, or reports that there is no room for them.
func (a *places) grow(p *askedPlace, more int) bool {
	if !p.taken {
		return false
	}
	free := room(MaxReplyOctets-int(a.process.octets.Load()), a.all.octets) - more
	for _, s := range p.shares[ofClient:] {
		if more > 0 && (free < 0 || s.octets+more > ofFree*free) {
			return false
		}
	}
	for _, s := range p.shares {
		s.octets += more
	}
	p.octets += more
	a.process.octets.Add(int64(more))
	return true
}

// share finds the shares that p counts for.
func (a *places) share(p *askedPlace) {
	p.shares = [sharesEach]*share{&a.all, shareOf(a, a.clients, p.client), shareOf(a, a.domains, p.domain)}
}

func shareOf[K comparable](a *places, all map[K]*share, key K) *share {
	s := all[key]
	if s == nil {
		if n := len(a.spare); n > 0 {
			s, a.spare = a.spare[n-1], a.spare[:n-1]
		} else {
			s = new(share)
		}
		all[key] = s
	}
	return s
}

// mostSpare is how many shares are kept for others: where few questions are asked at a time, each has some of its own.
const mostSpare = 64

// forget drops the shares of p that nobody uses.
func (a *places) forget(p *askedPlace) {
	forgetShare(a, a.clients, p.client, p.shares[ofClient])
	forgetShare(a, a.domains, p.domain, p.shares[ofDomain])
}

func forgetShare[K comparable](a *places, all map[K]*share, key K, s *share) {
	if s.used > 0 {
		return
	}
	delete(all, key)
	if len(a.spare) < mostSpare {
		a.spare = append(a.spare, s)
	}
}

// link appends p to the places of a share; which says the kind of share.
func (s *share) link(which int, p *askedPlace) {
	p.next[which], p.previous[which] = nil, s.last
	if s.last != nil {
		s.last.next[which] = p
	} else {
		s.first = p
	}
	s.last = p
}

func (s *share) unlink(which int, p *askedPlace) {
	if p.previous[which] != nil {
		p.previous[which].next[which] = p.next[which]
	} else {
		s.first = p.next[which]
	}
	if p.next[which] != nil {
		p.next[which].previous[which] = p.previous[which]
	} else {
		s.last = p.previous[which]
	}
	p.next[which], p.previous[which] = nil, nil
}
