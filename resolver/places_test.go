package resolver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// seating puts questions into the places of forwards, in a time of its own.
type seating struct {
	t       *testing.T
	process *asked
	now     time.Time
	ended   map[*askedPlace]string // why
}

func newSeating(t *testing.T) *seating {
	return &seating{t: t, process: new(asked), now: time.Now(), ended: map[*askedPlace]string{}}
}

// take asks for a place, and returns it with what its client is told if there is none.
func (s *seating) take(a *places, client string, domain uint64) (*askedPlace, string) {
	p := &askedPlace{client: netip.MustParseAddr(client), domain: domain, since: s.now}
	p.end = func(cause error) { s.ended[p] = cause.Error() }
	if m := a.take(p); m != nil {
		return p, m.text
	}
	return p, ""
}

// fill takes places until there is none, and returns their number.
func (s *seating) fill(a *places, client string, domain uint64) (n int) {
	for ; ; n++ {
		if _, why := s.take(a, client, domain); why != "" {
			return n
		}
	}
}

// TestPlacesAreShared: what one client, domain or forward takes leaves room for others, and how much depends only on
// how many of them take all that they get.
func TestPlacesAreShared(t *testing.T) {
	s := newSeating(t)
	a, b := newPlaces(MaxAsked, s.process), newPlaces(MaxAsked, s.process)
	if n := s.fill(&a, "192.0.2.1", 1); n < MaxAsked/2 || n > MaxAsked*2/3 {
		t.Errorf("one client has %d of %d places", n, MaxAsked)
	}
	for i := range 20 { // other attackers, other domains
		s.fill(&a, fmt.Sprintf("192.0.2.%d", 10+i), uint64(10+i))
	}
	if _, why := s.take(&a, "192.0.2.200", 200); why != "" {
		t.Errorf("an honest client gets no place: %s", why)
	}
	if _, why := s.take(&b, "192.0.2.1", 1); why != "" {
		t.Errorf("another forward has no place: %s", why)
	}
	for range 20 { // while the attacks go on, those that have more than their share by now lose it
		s.now = s.now.Add(patience)
		for i := range 2000 {
			s.take(&a, fmt.Sprintf("192.0.2.%d", 10+i%20), uint64(10+i%20))
			s.take(&a, "192.0.2.1", 1)
		}
	}
	if free := a.most(ofForward) - a.all.used; free < MaxAsked/64 {
		t.Errorf("%d places are free", free)
	}
}

// TestOldestGivesWay: in a full share, the oldest question gives way to one that is of another domain or client, and to
// any when it has waited for long enough.
func TestOldestGivesWay(t *testing.T) {
	s := newSeating(t)
	a := newPlaces(300, s.process)
	first, _ := s.take(&a, "192.0.2.1", 1)
	s.now = s.now.Add(time.Millisecond)
	s.fill(&a, "192.0.2.1", 1)
	if len(s.ended) != 0 {
		t.Fatalf("%d have lost their places", len(s.ended))
	}
	if _, why := s.take(&a, "192.0.2.1", 2); why != "" || s.ended[first] == "" {
		t.Errorf("a question for another domain: %q, the oldest %q", why, s.ended[first])
	}
	if _, why := s.take(&a, "192.0.2.1", 1); why == "" {
		t.Error("one more for the same domain has a place")
	}
	s.now = s.now.Add(patience)
	if _, why := s.take(&a, "192.0.2.1", 1); why != "" || len(s.ended) != 2 {
		t.Errorf("when the others have had their time: %q, %d have lost their places", why, len(s.ended))
	}
	for a.all.first != nil {
		a.leave(a.all.first)
	}
	if s.process.questions.Load() != 0 || len(a.clients)+len(a.domains) != 0 || a.all.used != 0 {
		t.Errorf("when all have left: %+v, %d clients, %d domains", a.all, len(a.clients), len(a.domains))
	}
}

// TestRepliesShareOctets: the replies of one domain leave room for those of others, and give back what they took.
func TestRepliesShareOctets(t *testing.T) {
	s := newSeating(t)
	a := newPlaces(MaxAsked, s.process)
	grown := 0
	for range 1000 {
		p, _ := s.take(&a, "192.0.2.1", 1)
		if a.grow(p, wire.MaxMessage) {
			grown++
		}
	}
	if sum := grown * wire.MaxMessage; sum < MaxReplyOctets/2 || sum > MaxReplyOctets*2/3 {
		t.Errorf("one domain has %d octets of %d", sum, MaxReplyOctets)
	}
	p, _ := s.take(&a, "192.0.2.2", 2)
	if !a.grow(p, wire.MaxMessage) {
		t.Error("no room for the reply of another client")
	}
	for a.all.first != nil {
		a.leave(a.all.first)
	}
	if n := s.process.octets.Load(); n != 0 || a.all.octets != 0 || a.grow(p, 1) {
		t.Errorf("%d octets are left, %d in the forward", n, a.all.octets)
	}
}
