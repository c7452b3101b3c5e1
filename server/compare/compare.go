package compare

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/observe/shadow"
)

// Options say who is asked, and how.
type Options struct {
	A, B     netip.AddrPort // the server in place, and clusterdns
	TCP      bool           // over TCP alone
	Parallel int            // questions under way
	Rate     int            // questions to each in a second at most
	Timeout  time.Duration  // of a question
	Examples int            // for each kind of difference
	Once     bool           // differences are not looked at again
	Progress func(done, all int)
	Again    func(differences int, in time.Duration) // they will be looked at again
}

// Report is what has been found.
type Report struct {
	Questions  int
	Same       int
	Explained  int
	Different  int
	Unanswered [2]int // by A, by B
	Kinds      []Kind // explained ones last, and the most frequent first
	Latency    [2]Latency
	Exchanged  bool // with A and B exchanged most differences would be explained
}

// Kind is a kind of difference.
type Kind struct {
	shadow.Verdict
	Count    int
	Examples []Example
}

// Example is a question with both answers.
type Example struct {
	dns.Question
	A, B string
}

// Latency is how long the answers of a server took.
type Latency struct{ Median, P99 time.Duration }

// asked is a question with both answers; nil for none.
type asked struct {
	dns.Question
	replies [2]*dns.Msg
	verdict shadow.Verdict
}

// comparison is one run.
type comparison struct {
	Options
	mu    sync.Mutex
	done  int
	all   int
	times [2][]time.Duration
}

// Run asks both servers all questions. An end of ctx ends it with what there is by then.
func Run(ctx context.Context, o Options, questions []dns.Question) *Report {
	c := &comparison{Options: o, all: len(questions)}
	list := make([]*asked, len(questions))
	for i, q := range questions {
		list[i] = &asked{Question: q}
	}
	list = c.round(ctx, list)
	c.lookAgain(ctx, list)
	return c.report(list)
}

// round asks all, and returns those that were asked.
func (c *comparison) round(ctx context.Context, list []*asked) []*asked {
	places := make(chan struct{}, c.Parallel)
	ticker := time.NewTicker(time.Second / time.Duration(c.Rate))
	defer ticker.Stop()
	var working sync.WaitGroup
	defer working.Wait()
	for i, a := range list {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return list[:i]
		}
		working.Go(func() {
			defer func() { <-places }()
			c.ask(ctx, a)
		})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return list[:i+1]
		}
	}
	return list
}

// ask asks both servers at the same time, since a cluster changes.
func (c *comparison) ask(ctx context.Context, a *asked) {
	a.replies, a.verdict = [2]*dns.Msg{}, shadow.Verdict{}
	var both sync.WaitGroup
	for i, server := range [2]netip.AddrPort{c.A, c.B} {
		both.Go(func() {
			m := &dns.Msg{Question: []dns.Question{a.Question}}
			m.Id, m.RecursionDesired = dns.Id(), true
			m.SetEdns0(1232, false)
			reply, took, err := shadow.Ask(ctx, server, m, c.Timeout, c.TCP)
			if err != nil {
				return
			}
			a.replies[i] = reply
			c.mu.Lock()
			c.times[i] = append(c.times[i], took)
			c.mu.Unlock()
		})
	}
	both.Wait()
	a.judge()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	if c.Progress != nil {
		c.Progress(c.done, c.all)
	}
}

// judge compares the answers.
func (a *asked) judge() {
	if !a.unanswered() {
		a.verdict = shadow.Compare(a.Question, shadow.Read(a.replies[1]), shadow.Read(a.replies[0]))
	}
}

func (a *asked) unanswered() bool { return a.replies[0] == nil || a.replies[1] == nil }

// lookAgain asks again what differs or was not answered: a cache was behind, or a datagram was lost.
func (c *comparison) lookAgain(ctx context.Context, list []*asked) {
	var again, before []*asked
	var wait time.Duration
	for _, a := range list {
		if !a.unanswered() && a.verdict.Result() != shadow.Different {
			continue
		}
		first := *a
		again, before = append(again, a), append(before, &first)
		if !a.unanswered() {
			wait = max(wait, shadow.Lifetime(a.replies[0]), shadow.Lifetime(a.replies[1]))
		}
	}
	if c.Once || len(again) == 0 {
		return
	}
	if c.Again != nil {
		c.Again(len(again), wait)
	}
	if !observe.Pause(ctx, wait) {
		return
	}
	c.done, c.all = 0, len(again)
	for i, a := range c.round(ctx, again) {
		switch {
		case ctx.Err() != nil || a.unanswered() && !before[i].unanswered():
			*a = *before[i]
		case !before[i].unanswered() && a.verdict.Result() == shadow.Same:
			a.verdict, a.replies = shadow.Late, before[i].replies
		}
	}
}

// report counts.
func (c *comparison) report(list []*asked) *Report {
	r := &Report{Questions: len(list)}
	exchanged := 0
	for _, a := range list {
		switch a.verdict.Result() {
		case shadow.Explained:
			r.Explained++
		case shadow.Different:
			r.Different++
			if shadow.Compare(a.Question, shadow.Read(a.replies[0]), shadow.Read(a.replies[1])).Result() != shadow.Different {
				exchanged++
			}
		default:
			if !a.unanswered() {
				r.Same++
			}
		}
		for i := range a.replies {
			if a.replies[i] == nil {
				r.Unanswered[i]++
			}
		}
		r.add(a, c.Examples)
	}
	r.Exchanged = 2*exchanged > r.Different
	slices.SortStableFunc(r.Kinds, func(a, b Kind) int {
		if a.Explained != b.Explained {
			if a.Explained {
				return 1
			}
			return -1
		}
		return cmp.Compare(b.Count, a.Count)
	})
	for i := range c.times {
		r.Latency[i] = latency(c.times[i])
	}
	return r
}

// add counts a difference.
func (r *Report) add(a *asked, examples int) {
	if a.verdict.Kind == "" {
		return
	}
	i := slices.IndexFunc(r.Kinds, func(k Kind) bool { return k.Verdict == a.verdict })
	if i < 0 {
		i = len(r.Kinds)
		r.Kinds = append(r.Kinds, Kind{Verdict: a.verdict})
	}
	k := &r.Kinds[i]
	k.Count++
	if len(k.Examples) < examples {
		k.Examples = append(k.Examples, Example{a.Question, shadow.Read(a.replies[0]).String(),
			shadow.Read(a.replies[1]).String()})
	}
}

func latency(times []time.Duration) Latency {
	if len(times) == 0 {
		return Latency{}
	}
	slices.Sort(times)
	return Latency{times[len(times)/2], times[len(times)*99/100]}
}
