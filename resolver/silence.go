package resolver

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	silentAfter   = 16               // names directly below a domain for which nothing came, and for no other since
	silentFor     = 30 * time.Second // after the last of them, the domain is no longer held to be silent
	silentDomains = 1024             // domains remembered for each forward
	silentLevels  = 16               // labels below the forward's zone that are looked at
	probesEach    = 2                // questions below silent domains that one client may ask at a time: A and AAAA
)

// silence knows the domains from which nothing comes back through a forward: those whose own servers are dead, and the
// forward's whole zone when its upstreams are. Questions below them fail at once, but for probesEach of each client at
// a time, and the first answer to one of these ends it.
//
// Which domain a silent name stands for is not guessed from its labels. Each suffix of the name counts the different
// names directly below it for which nothing came since the last answer at or below it. A thousand names below
// dead.example.com count a thousand times for dead.example.com, and once for example.com: to silence a suffix that
// others use, an attacker needs silentAfter domains below it, and no answer to anybody meanwhile. The forwarder's mutex
// guards it.
type silence struct {
	top  int // labels of the forward's zone
	seed maphash.Seed
	any  atomic.Bool // a domain is or was remembered; read without the mutex

	// By the hash of the suffix: those used lately, and those that are forgotten next.
	recent, older map[uint64]*silentDomain
}

type silentDomain struct {
	names    [silentAfter]uint64 // hashes of the names directly below it
	count    int
	last     time.Time // the latest of them
	answered time.Time
}

func newSilence(top int) silence {
	return silence{top: top, seed: maphash.MakeSeed(), recent: map[uint64]*silentDomain{}}
}

// find is the suffix with that hash, nil if it is not known.
func (s *silence) find(hash uint64) *silentDomain {
	d := s.recent[hash]
	if d == nil {
		if d = s.older[hash]; d != nil {
			s.keep(hash, d)
		}
	}
	return d
}

// keep remembers d. What has not been used since the last silentDomains/2 of others is forgotten.
func (s *silence) keep(hash uint64, d *silentDomain) {
	if len(s.recent) >= silentDomains/2 {
		s.recent, s.older = map[uint64]*silentDomain{}, s.recent
	}
	s.recent[hash] = d
	s.any.Store(true)
}

// suffixes are the hashes of the suffixes of a name: first that of the forward's zone, then each with one label more.
type suffixes struct {
	hashes [silentLevels + 1]uint64
	count  int
}

func (s *silence) suffixes(name *wire.QName) (all suffixes) {
	for labels := s.top; labels <= name.Labels() && all.count < len(all.hashes); labels++ {
		all.hashes[all.count] = maphash.Bytes(s.seed, name.Suffix(name.Labels()-labels))
		all.count++
	}
	return all
}

// domain is the hash of the domain whose share of the places a question for name takes: the suffix with one label more
// than the forward's zone, and two at least. It may be one that many use, as co.uk; only the oldest question there
// gives way then, and what is silent below it soon does not get that far.
func (s *silence) domain(name *wire.QName) uint64 {
	labels := min(max(s.top+1, 2), name.Labels())
	return maphash.Bytes(s.seed, name.Suffix(name.Labels()-labels))
}

// unanswered notes that nothing came for name, which was asked for at began.
func (s *silence) unanswered(name *wire.QName, began, now time.Time) {
	all := s.suffixes(name)
	for i := range max(all.count-1, 0) {
		d := s.find(all.hashes[i])
		if d == nil {
			d = &silentDomain{answered: now} // perhaps: of a domain that is not remembered nobody notes answers
			s.keep(all.hashes[i], d)
		}
		if d.answered.After(began) {
			continue
		}
		if now.Sub(d.last) > silentFor {
			d.count = 0
		}
		d.last = now
		if below := all.hashes[i+1]; d.count < silentAfter && !slices.Contains(d.names[:d.count], below) {
			d.names[d.count] = below
			d.count++
		}
	}
}

// answered notes an answer to name.
func (s *silence) answered(name *wire.QName, now time.Time) {
	if len(s.recent) == 0 {
		return
	}
	all := s.suffixes(name)
	for _, hash := range all.hashes[:all.count] {
		if d := s.find(hash); d != nil {
			d.count, d.answered = 0, now
		}
	}
}

// over returns the number of labels of the silent domain that name is below.
func (s *silence) over(name *wire.QName, now time.Time) (labels int, silent bool) {
	if len(s.recent) == 0 {
		return 0, false
	}
	all := s.suffixes(name)
	for i := range max(all.count-1, 0) {
		if d := s.find(all.hashes[i]); d != nil && d.count == silentAfter && now.Sub(d.last) <= silentFor {
			return s.top + i, true
		}
	}
	return 0, false
}
