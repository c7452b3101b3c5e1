package shadow

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
)

// The bounds of a Shadow.
const (
	MostWaiting = 256              // samples
	MostOctets  = 8 << 10          // of a sample, query and reply; what is longer is dropped
	MostAsked   = 16               // questions under way
	MostLate    = 64               // differences that are looked at once more
	MostRecent  = 64               // differences that are remembered
	longestLate = 35 * time.Second // TTLs in CoreDNS's cache are 30 s as a rule

	silentAfter = 4           // questions without an answer in a row: the server is away
	silentPause = time.Second // until one that is away is asked again
	logPause    = 10 * time.Second
)

// LatencyBounds are the bounds of latency buckets in nanoseconds, from 0.25 ms to 8.192 s.
var LatencyBounds = observe.Doubling(int64(250*time.Microsecond), 16)

// Options say who is asked, and how much.
type Options struct {
	Servers []netip.AddrPort // one of them for each question, in turn
	Share   float64          // of the queries, above 0, at most 1
	Rate    int              // questions in a second at most
	Timeout time.Duration    // of a question
}

// Shadow compares a share of what this server answers with what a second one answers.
type Shadow struct {
	options Options
	limit   uint32 // a random number up to it is a sample
	log     *slog.Logger
	panics  observe.Panics

	exchange func(context.Context, netip.AddrPort, *dns.Msg, time.Duration, bool) (*dns.Msg, time.Duration, error) // Ask

	queue   chan sample
	servers []*second
	turn    atomic.Uint32
	began   time.Time
	taken   atomic.Uint64 // the second since began that counts for Rate, and in the low 32 bits how many were taken in it
	dropped atomic.Uint64

	mu      sync.Mutex
	counts  map[Outcome]uint64
	ours    observe.Histogram
	theirs  observe.Histogram
	asking  map[string]bool // packets under way: one that comes back is a loop
	recent  []Difference    // the newest last
	differs observe.Limiter
}

// second is one of the servers.
type second struct {
	address netip.AddrPort
	failed  atomic.Int32 // in a row
	next    atomic.Int64 // when it is asked again while it is away, in ns since 1970
}

// sample is a question with its answer.
type sample struct {
	query, reply []byte
	took         time.Duration
}

// Outcome is what became of a sample.
type Outcome struct {
	Result string // same, explained, different, unanswered or dropped
	Kind   string // of difference
}

// Difference is an answer that nothing explains.
type Difference struct {
	At     time.Time `json:"at"`
	Name   string    `json:"name"`
	Type   string    `json:"type"`
	Kind   string    `json:"kind"`
	Server string    `json:"server"` // the second one
	Ours   string    `json:"ours"`
	Theirs string    `json:"theirs"`
}

// New makes a Shadow. Nobody is asked until Run.
func New(o Options, log *slog.Logger) *Shadow {
	s := &Shadow{options: o, began: time.Now(), log: log, queue: make(chan sample, MostWaiting), counts: map[Outcome]uint64{},
		asking: map[string]bool{}, exchange: Ask, limit: uint32(min(o.Share*(1<<32), math.MaxUint32))}
	for _, address := range o.Servers {
		s.servers = append(s.servers, &second{address: address})
	}
	return s
}

// Sampled draws whether a query is a sample. It takes no lock.
func (s *Shadow) Sampled() bool { return rand.Uint32() <= s.limit }

// Add takes a query with the reply that the client got, took after it came, or drops it. Neither is kept. What is beyond
// Rate takes no lock.
func (s *Shadow) Add(query, reply []byte, took time.Duration) {
	if len(query)+len(reply) > MostOctets || !s.anyone(time.Now()) || !s.admit(query) {
		s.dropped.Add(1)
		return
	}
	both := append(append(make([]byte, 0, len(query)+len(reply)), query...), reply...)
	select {
	case s.queue <- sample{both[:len(query):len(query)], both[len(query):], took}:
	default:
		s.dropped.Add(1)
	}
}

// admit reports whether there is room for query in this second, and that it is none of our own: the second server may be
// this one by mistake.
func (s *Shadow) admit(query []byte) bool {
	if !s.room(time.Now()) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.asking[string(query)]
}

// room takes one of the places of this second, if there is one left.
func (s *Shadow) room(now time.Time) bool {
	for {
		before := s.taken.Load()
		next := max(before, uint64(now.Sub(s.began)/time.Second)<<32) // the first of a new second, or the count of this one
		if int64(uint32(next)) >= int64(s.options.Rate) {
			return false
		}
		if s.taken.CompareAndSwap(before, next+1) {
			return true
		}
	}
}

// anyone reports whether a server is there to be asked.
func (s *Shadow) anyone(now time.Time) bool {
	return slices.ContainsFunc(s.servers, func(u *second) bool {
		return u.failed.Load() < silentAfter || now.UnixNano() >= u.next.Load()
	})
}

// choose is the server that is asked next; nil when all are away. One that is away is asked once in a while.
func (s *Shadow) choose(now time.Time) *second {
	first := int(s.turn.Add(1))
	for i := range s.servers {
		u := s.servers[(first+i)%len(s.servers)]
		if u.failed.Load() < silentAfter {
			return u
		}
		if next := u.next.Load(); now.UnixNano() >= next &&
			u.next.CompareAndSwap(next, now.Add(silentPause).UnixNano()) {
			return u
		}
	}
	return nil
}

// Run compares until ctx ends, and returns when nothing of it is under way.
func (s *Shadow) Run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	places, later := make(chan struct{}, MostAsked), make(chan struct{}, MostLate)
	for {
		var next sample
		select {
		case next = <-s.queue:
		case <-ctx.Done():
			return
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		working.Go(func() {
			defer s.panics.Survive(s.log, "shadow")
			if look := s.compareIn(ctx, next, places); look != nil {
				s.lookAgain(ctx, look, later)
			}
		})
	}
}

// compareIn compares, and gives back its place among those under way, also when it panics.
func (s *Shadow) compareIn(ctx context.Context, of sample, places chan struct{}) *look {
	defer func() { <-places }()
	return s.compare(ctx, of)
}

// look is a difference that may be gone in a moment.
type look struct {
	question *dns.Msg
	ours     Reply
	theirs   Reply
	verdict  Verdict
	server   *second
	after    time.Duration
}

// compare asks the second server what the client has asked. It returns a difference that has to be looked at again.
func (s *Shadow) compare(ctx context.Context, of sample) *look {
	query, reply := new(dns.Msg), new(dns.Msg)
	if query.Unpack(of.query) != nil || reply.Unpack(of.reply) != nil || len(query.Question) == 0 {
		s.dropped.Add(1)
		return nil
	}
	u := s.choose(time.Now())
	if u == nil {
		s.dropped.Add(1)
		return nil
	}
	question := again(query)
	answer := s.ask(ctx, u, question)
	if answer == nil {
		return nil
	}
	s.mu.Lock()
	s.ours.Observe(LatencyBounds, int64(of.took))
	s.mu.Unlock()
	l := &look{question: question, ours: Read(reply), theirs: Read(answer), server: u, after: Lifetime(answer)}
	l.verdict = Compare(question.Question[0], l.ours, l.theirs)
	if l.verdict.Result() == Different {
		return l
	}
	s.count(l.verdict.Result(), l.verdict.Kind)
	return nil
}

// ask asks u; nil when it does not answer.
func (s *Shadow) ask(ctx context.Context, u *second, m *dns.Msg) *dns.Msg {
	packet, err := m.Pack()
	if err != nil {
		s.dropped.Add(1)
		return nil
	}
	s.underWay(packet, true)
	defer s.underWay(packet, false)
	answer, took, err := s.exchange(ctx, u.address, m, s.options.Timeout, false)
	if ctx.Err() != nil {
		return nil
	}
	s.note(u, err)
	if err != nil {
		s.count(Unanswered, "")
		return nil
	}
	s.mu.Lock()
	s.theirs.Observe(LatencyBounds, int64(took))
	s.mu.Unlock()
	return answer
}

// underWay keeps which questions are ours.
func (s *Shadow) underWay(packet []byte, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is {
		s.asking[string(packet)] = true
	} else {
		delete(s.asking, string(packet))
	}
}

// note says when a server goes away, and when it is back.
func (s *Shadow) note(u *second, err error) {
	switch {
	case err == nil:
		if u.failed.Swap(0) >= silentAfter {
			s.log.Info("shadow: the second server is back", "server", u.address)
		}
	case u.failed.Add(1) == silentAfter:
		u.next.Store(time.Now().Add(silentPause).UnixNano())
		s.log.Warn("shadow: the second server does not answer; it is asked once a second until it does",
			"server", u.address, "error", err)
	}
}

// Lifetime is how long an answer may stay in a cache, and a moment.
func Lifetime(m *dns.Msg) time.Duration {
	least := uint32(math.MaxUint32)
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		least = min(least, rr.Header().Ttl)
	}
	if least == math.MaxUint32 {
		least = 5 // of a failure
	}
	return min(time.Duration(least)*time.Second+time.Second, longestLate)
}

// lookAgain asks again when the second server's cache has forgotten its answer. Clusters change: one of the servers is
// the first to see it.
func (s *Shadow) lookAgain(ctx context.Context, l *look, places chan struct{}) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	default:
		s.different(l)
		return
	}
	if !observe.Pause(ctx, l.after) {
		return
	}
	l.question.Id = dns.Id()
	answer, _, err := s.exchange(ctx, l.server.address, l.question, s.options.Timeout, false)
	if err == nil && Compare(l.question.Question[0], l.ours, Read(answer)).Result() != Different {
		s.count(Late.Result(), Late.Kind)
		return
	}
	if ctx.Err() == nil {
		s.different(l)
	}
}

// different counts, remembers and logs what nothing explains.
func (s *Shadow) different(l *look) {
	q := l.question.Question[0]
	d := Difference{time.Now(), q.Name, TypeText(q.Qtype), l.verdict.Kind, l.server.address.String(), l.ours.String(),
		l.theirs.String()}
	s.count(Different, d.Kind)
	s.mu.Lock()
	if len(s.recent) == MostRecent {
		s.recent = slices.Delete(s.recent, 0, 1)
	}
	s.recent = append(s.recent, d)
	s.mu.Unlock()
	if omitted, ok := s.differs.Allow(d.At, logPause); ok {
		s.log.Warn("shadow: the second server answers otherwise", "name", d.Name, "type", d.Type, "ours", d.Ours,
			"theirs", d.Theirs, "server", d.Server, "omitted", omitted)
	}
}

func (s *Shadow) count(result, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[Outcome{result, kind}]++
}

// Counts are what a Shadow has found.
type Counts struct {
	Outcomes     map[Outcome]uint64
	Ours, Theirs observe.Histogram // how long answers took, by LatencyBounds
	Away         []string          // servers that do not answer
	Waiting      int               // samples
	Panics       uint64
}

// Counts may be called at any time.
func (s *Shadow) Counts() Counts {
	c := Counts{Outcomes: map[Outcome]uint64{}, Waiting: len(s.queue), Panics: s.panics.Total()}
	for _, u := range s.servers {
		if u.failed.Load() >= silentAfter {
			c.Away = append(c.Away, u.address.String())
		}
	}
	c.Outcomes[Outcome{Result: Same}], c.Outcomes[Outcome{Result: Unanswered}] = 0, 0
	c.Outcomes[Outcome{Result: Dropped}] = s.dropped.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	for outcome, n := range s.counts {
		c.Outcomes[outcome] = n
	}
	c.Ours, c.Theirs = s.ours, s.theirs
	return c
}

// Recent are the last differences that nothing explains, the newest first.
func (s *Shadow) Recent() []Difference {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.recent)
	slices.Reverse(all)
	return all
}
