package differ

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

// The differential test of the directives rewrite, dns64 and acl. It needs no API server: both servers run on one
// Corefile in front of the scripted upstream, with entries of the directive hosts as their own data. A seed gives the
// options of the directive, which other directives stand beside it, and the questions.
//
//	go test -count=1 ./differ -run Steps                         all directives
//	go test -count=1 ./differ -run Steps/acl -stepseeds 4        one seed of one
//	go test -count=1 ./differ -run Steps -clusterdns COREDNS -noise   CoreDNS on both sides, for the noise

var (
	stepSeedsFlag     = flag.Int("stepseeds", 0, "the one seed of TestSameSteps; 0 for all")
	noiseFlag         = flag.Bool("noise", false, "TestSameSteps explains nothing but ages, for CoreDNS on both sides")
	stepQuestionsFlag = flag.Int("stepquestions", 150, "questions for each seed of TestSameSteps")
)

// stepSeeds is how many seeds TestSameSteps has for each directive.
const stepSeeds = 40

// steps are the directives under test, each with what makes its part of a server block, and what it does that must be
// seen.
var steps = []struct {
	name       string
	directives func(w *world) string
	effects    []string
}{
	{"none", func(*world) string { return "" }, nil},
	{"rewrite", (*world).rewrites, []string{"rewritten"}},
	{"dns64", (*world).dns64, []string{"synthesized"}},
	{"fields", (*world).fields, []string{"rewritten"}},
	{"acl", (*world).acls, []string{"blocked", "filtered", "dropped"}},
	{"together", func(w *world) string { return w.acls() + w.rewrites() + w.dns64() }, []string{"rewritten",
		"synthesized", "blocked", "filtered", "dropped"}},
}

func TestSameSteps(t *testing.T) {
	names := scriptedNames()
	rules := stepRules
	if *noiseFlag {
		rules = []rule{stepAge, stepLetters}
	}
	total := &result{used: map[string]int{}, effects: map[string]int{}, groups: map[string]*group{}}
	for i, step := range steps {
		own := &result{used: map[string]int{}, effects: map[string]int{}, groups: map[string]*group{}}
		t.Run(step.name, func(t *testing.T) {
			var mu sync.Mutex
			for seed := uint64(1); seed <= stepSeeds; seed++ {
				if *stepSeedsFlag != 0 && uint64(*stepSeedsFlag) != seed {
					continue
				}
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					t.Parallel()
					w := &world{seed: seed, Rand: rand.New(rand.NewPCG(seed, uint64(i))), rules: rules}
					got := w.stepTrial(t, step.directives(w), names, startUpstream(t, scriptedUpstream()))
					mu.Lock()
					defer mu.Unlock()
					own.add(got)
				})
			}
		})
		t.Logf("%s: %d questions and %d that these led to: %d answered differently and explained, %d unexplained; "+
			"CoreDNS: %v", step.name, own.questions, own.again, own.explained, own.unexplained, own.effects)
		for _, effect := range step.effects {
			if *stepSeedsFlag == 0 && own.effects[effect] < own.questions/100 {
				t.Errorf("%s: the questions hardly show the effect %q", step.name, effect)
			}
		}
		total.add(own)
	}
	enough := 1 << 30 // one directive, or CoreDNS on both sides, does not need all rules
	if *stepSeedsFlag == 0 && !*noiseFlag && total.questions == len(steps)*stepSeeds**stepQuestionsFlag {
		enough = 10000
	}
	total.report(t, rules, enough)
}

// stepTrial starts the servers with some directives, asks them, and ends them.
func (w *world) stepTrial(t *testing.T, directives string, names []string, upstream string) *result {
	began := time.Now()
	corefile := w.stepCorefile(directives, upstream)
	w.under = "\n" + corefile
	servers := []*server{startServer(t, process.Clusterdns, corefile), startServer(t, process.CoreDNS, corefile)}
	for _, s := range servers {
		defer s.Stop()
	}
	started := time.Since(began)
	list := make([]*question, *stepQuestionsFlag)
	for i := range list {
		list[i] = w.stepQuestion(directives, names)
	}
	got := &result{seeds: 1, questions: len(list), used: map[string]int{}, effects: map[string]int{},
		groups: map[string]*group{}}
	mayDrop := strings.Contains(directives, "drop") || strings.Contains(directives, "rewrite")
	for round := list; len(round) > 0; got.again += len(round) {
		askSteps(t, servers, round, mayDrop)
		round = following(round, (*question).stepAgain)
	}
	for _, q := range list {
		q.level()
	}
	got.judge(list)
	for _, q := range list {
		got.effects[q.effect()]++
	}
	t.Logf("seed %d: started in %v, asked in %v", w.seed, started.Round(time.Millisecond),
		(time.Since(began) - started).Round(time.Millisecond))
	return got
}

// level gives records of a reply that was cut the TTLs that they had a moment later in the whole one.
func (q *question) level() {
	if q.whole == nil {
		return
	}
	for _, pair := range [][2]*reply{{q.ours, q.whole.ours}, {q.theirs, q.whole.theirs}} {
		for i := range pair[0].sections {
			for j := range pair[0].sections[i] {
				r := &pair[0].sections[i][j]
				for _, later := range pair[1].sections[i] {
					if r.same(later) && r.ttl-later.ttl <= longest {
						r.ttl = later.ttl
					}
				}
			}
			sortRecords(pair[0].sections[i])
		}
	}
}

// stepCorefile is what both servers run on. The block of cluster.local is there so that there is something to be
// answered, whatever the directives do.
func (w *world) stepCorefile(directives, upstream string) string {
	var beside string
	if w.chance(50) {
		beside += "\tcache 3600\n"
	}
	if w.chance(70) {
		beside += "\thosts /dev/null {" + localHosts + "\n\t\tfallthrough\n\t}\n"
	}
	return fmt.Sprintf(". {\n\terrors\n\tready READY\n%s%s\tforward . %s\n}\ncluster.local {\n\tforward . %[3]s\n}\n",
		directives, beside, upstream)
}

// stepQuestion makes a question: mostly for a name that means something to the upstream.
func (w *world) stepQuestion(directives string, names []string) *question {
	// The cache of CoreDNS keeps the case of the first client, which the patterns for the answers to others do not match.
	mixesBadly := strings.Contains(directives, "rewrite") && strings.Contains(w.under, "\tcache ")
	for {
		name, qtype := pick(w, names), pick(w, stepTypes)
		switch n := w.IntN(10); {
		case n < 5 && strings.Contains(directives, "rewrite "):
			name = strings.Replace(strings.Replace(name, "b.test.", pick(w, []string{"a.test.", "a.test.", "c.test."}),
				1), "else.", "a.", 1)
			qtype = pick(w, []uint16{qtype, dns.TypeA})
		case n < 4 && strings.Contains(directives, "dns64"):
			name, qtype = pick(w, fourNames), dns.TypeAAAA
		}
		what := name
		for w.chance(20) {
			var how string
			if name, how = w.neighbour(name); how != "" {
				what += ", " + how
			}
		}
		if w.chance(15) && !mixesBadly {
			name = w.mixCase(name)
		}
		q := &question{world: w, under: w.under, what: what, six: w.chance(50), tcp: w.chance(20)}
		if w.chance(5) {
			qtype = pick(w, types)
		}
		q.msg.Question = []dns.Question{{Name: name, Qtype: qtype, Qclass: dns.ClassINET}}
		if w.chance(2) {
			q.msg.Question[0].Qclass = pick(w, []uint16{dns.ClassCHAOS, dns.ClassANY})
		}
		q.msg.RecursionDesired, q.msg.CheckingDisabled, q.msg.AuthenticatedData = w.chance(90), w.chance(10),
			w.chance(10)
		if w.chance(60) {
			w.addOPT(&q.msg)
		}
		var err error
		if q.packet, err = q.msg.Pack(); err == nil {
			return q
		}
	}
}

// fourNames are names with IPv4 addresses, if not those alone.
var fourNames = []string{"v4.b.test.", "v4.b.test.", "four.b.test.", "fours.b.test.", "big.b.test.", "some.b.test.",
	"bare.b.test.", "brief.b.test.",
	"failsix.b.test.", "refusesix.b.test.", "nonesix.b.test.", "nonefour.b.test.", "emptysix.b.test.", "signed.b.test.",
	"both.b.test.",
	"mapped.b.test.", "v4.local.test.", "v6.local.test.", "v6.local.test.", "local.a.test.", "dual.local.test.",
	"host.b.test.", "www.else.test.",
	"away.b.test.", "mid.b.test."}

// stepTypes are the types that a rewritten answer or an address has to do with.
var stepTypes = []uint16{dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA,
	dns.TypeAAAA, dns.TypeAAAA,
	dns.TypeAAAA, dns.TypeCNAME, dns.TypeMX, dns.TypeSRV, dns.TypeNS, dns.TypePTR, dns.TypeSOA, dns.TypeTXT,
	dns.TypeANY, dns.TypeNAPTR,
	dns.TypeDNAME, dns.TypeHTTPS}

// askSteps asks the servers. Where a directive may drop queries, those that only one of them answered are asked once
// more, with patience.
func askSteps(t *testing.T, servers []*server, list []*question, mayDrop bool) {
	if !mayDrop {
		askLoopback(t, servers, list, exchange)
		return
	}
	askLoopback(t, servers, list, exchangeEach(100*time.Millisecond))
	var unsure []*question
	for _, q := range list {
		if q.ours.silent != q.theirs.silent {
			unsure = append(unsure, q)
		}
	}
	askLoopback(t, servers, unsure, exchangeEach(2*time.Second))
}

// askRounds asks questions and those that they lead to, and returns how many these are.
func askRounds(t *testing.T, servers []*server, list []*question, again func(*question) *question) (more int) {
	for len(list) > 0 {
		askLoopback(t, servers, list, exchange)
		list = following(list, again)
		more += len(list)
	}
	return more
}

// following are the questions that others lead to, over the same family of addresses.
func following(list []*question, again func(*question) *question) (more []*question) {
	for _, q := range list {
		if next := again(q); next != nil {
			next.six = q.six
			more = append(more, next)
		}
	}
	return more
}

// askLoopback asks the servers at the same time, over IPv4 or IPv6 as each question has it.
func askLoopback(t *testing.T, servers []*server, list []*question, send func(string, []*question) ([][]byte, error)) {
	for _, six := range []bool{false, true} {
		var share []*question
		for _, q := range list {
			if q.six == six {
				share = append(share, q)
			}
		}
		askAll(t, servers, share, func(s *server, list []*question) ([][]byte, error) {
			if _, port, _ := net.SplitHostPort(s.address); six {
				return send(net.JoinHostPort("::1", port), list)
			}
			return send(s.address, list)
		})
	}
}

// exchangeEach is exchange with a socket for each question: a reply that does not come within patience holds no other
// back.
func exchangeEach(patience time.Duration) func(address string, questions []*question) ([][]byte, error) {
	return func(address string, questions []*question) ([][]byte, error) {
		replies := make([][]byte, len(questions))
		fail := make([]error, len(questions))
		room := make(chan struct{}, window)
		var running sync.WaitGroup
		for i, q := range questions {
			room <- struct{}{}
			running.Go(func() {
				replies[i], fail[i] = exchangeOne(patience, address, q)
				<-room
			})
		}
		running.Wait()
		return replies, errors.Join(fail...)
	}
}

// effect is what a directive did to a question, as CoreDNS has it.
func (q *question) effect() string {
	theirs := q.theirs
	switch {
	case theirs.silent:
		return "dropped"
	case theirs.ofACL():
		return map[string]string{"15 ": "blocked", "17 ": "filtered"}[theirs.opt.errors[0]]
	case slices.ContainsFunc(theirs.sections[answer], func(r record) bool {
		return r.rrtype == "AAAA" &&
			isSynthesized(r.data)
	}):
		return "synthesized"
	case len(theirs.sections[answer]) > 0 && !slices.Contains(localNames, q.name()) && q.qclass() == dns.ClassINET:
		m := new(dns.Msg)
		scriptedUpstream().answer(m, q.name(), q.qtype())
		if !slices.ContainsFunc(m.Answer,
			func(rr dns.RR) bool { return readRecord(rr).same(theirs.sections[answer][0]) }) {
			return "rewritten"
		}
	}
	return "passed on"
}

// isSynthesized reports whether an address is in one of the prefixes that a seed may give dns64. No record has such a
// one.
func isSynthesized(address string) bool {
	return slices.ContainsFunc([]string{"64:ff9b:", "2001:db8:64:", "2001:db8:c0", "2001:db8:c6"},
		func(p string) bool { return strings.HasPrefix(address, p) })
}

// exchangeOne asks one question; nil is no reply.
func exchangeOne(patience time.Duration, address string, q *question) ([]byte, error) {
	proto := "udp"
	if q.tcp {
		proto = "tcp"
	}
	replies := make([][]byte, 1)
	_, err := pipelineWithin(patience, proto, address, []*question{q}, []int{0}, replies)
	if isSilence(err) {
		err = nil
	}
	return replies[0], err
}

// TestStepRules checks the rules as a document, as TestTable does those that the page lists.
func TestStepRules(t *testing.T) {
	checkRules(t, stepRules)
}
