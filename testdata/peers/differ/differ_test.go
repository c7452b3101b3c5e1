package differ

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

var (
	seedsFlag     = flag.String("seeds", "1,2,3,4,5,6,7", "seeds, with commas between them")
	questionsFlag = flag.Int("questions", 9600, "questions for each seed; each of its variants has a fifth of them")
	shownFlag     = flag.Int("shown", 3, "examples of each unexplained difference that are printed")
)

// batch is how many questions are asked between two comparisons.
const batch = 6000

func TestSameAnswers(t *testing.T) {
	c := startCluster(t)
	client := c.client(t)
	defineImports(t, client)
	upstream := startUpstream(t, upstreamRecords())
	total := &result{used: map[string]int{}, groups: map[string]*group{}}
	for _, text := range strings.Split(*seedsFlag, ",") {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Run("seed="+text, func(t *testing.T) {
			total.seeds++
			w := newWorld(seed, localAddresses(t))
			w.load(t, client)
			defer w.unload(t, client)
			total.add(w.trial(t, c, upstream, "own options", *questionsFlag))
			own := w.options
			for _, v := range variantsOf(seed) {
				w.options = own
				v.change(&w.options)
				total.add(w.trial(t, c, upstream, v.name, *questionsFlag/5))
			}
		})
	}
	total.report(t, rules, 100000)
}

// trial starts the servers with the world's options, asks them, and ends them.
func (w *world) trial(t *testing.T, c *cluster, upstream, under string, questions int) *result {
	began := time.Now()
	w.under, w.apexes = under, w.claimed()
	servers := w.servers(t, c, upstream)
	for _, s := range servers {
		defer s.Stop()
	}
	started := time.Since(began)
	got := w.compare(t, servers, questions)
	t.Logf("seed %d, %s: %d services, %d slices, %d pods: %d questions, %d unexplained; started in %v, compared in %v", w.seed, under, len(w.services),
		len(w.slices), len(w.pods), got.questions, got.unexplained, started.Round(time.Millisecond), (time.Since(began) - started).Round(time.Millisecond))
	return got
}

// servers are clusterdns and CoreDNS on one Corefile, and where this means
// something else to CoreDNS, another CoreDNS on one that says it in other words.
func (w *world) servers(t *testing.T, c *cluster, upstream string) []*server {
	corefile := w.corefile(c.kubeconfig, upstream)
	list := []*server{startServer(t, process.Clusterdns, corefile), startServer(t, process.CoreDNS, corefile)}
	if w.selectsImports() {
		list = append(list, startServer(t, process.CoreDNS, w.listed().corefile(c.kubeconfig, upstream)))
	}
	return list
}

// localAddresses are those of this machine by which a service may front it.
func localAddresses(t *testing.T) (list []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Addr())
		}
	}
	return list
}

// A result is what came of some questions.
type result struct {
	seeds       int
	questions   int
	again       int            // questions that others led to
	explained   int            // answered differently, and rules say why
	used        map[string]int // by name of the rule
	effects     map[string]int // of directives, where they are counted
	unexplained int
	groups      map[string]*group // by shape
}

// A group is differences of one shape.
type group struct {
	shape    string
	count    int
	examples []*question
}

// compare asks the servers questions and compares the replies.
func (w *world) compare(t *testing.T, servers []*server, questions int) *result {
	bases := w.bases()
	got := &result{used: map[string]int{}, groups: map[string]*group{}}
	for got.questions < questions {
		var list []*question
		for range min(batch, questions-got.questions) {
			list = append(list, w.ask(bases))
		}
		got.again += askRounds(t, servers, list, (*question).again)
		got.questions += len(list)
		got.judge(list)
	}
	return got
}

// askAll asks the servers at the same time.
func askAll(t *testing.T, servers []*server, list []*question, send func(*server, []*question) ([][]byte, error)) {
	var running sync.WaitGroup
	replies := make([][][]byte, len(servers))
	for i, s := range servers {
		running.Go(func() {
			var err error
			if replies[i], err = send(s, list); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		})
	}
	running.Wait()
	for i, q := range list {
		q.ours, q.theirs = read(replies[0][i]), read(replies[1][i])
		if len(servers) > 2 {
			q.listed = read(replies[2][i])
		}
	}
}

// judge compares the replies to questions.
func (r *result) judge(list []*question) {
	var mu sync.Mutex
	var running sync.WaitGroup
	share := (len(list) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for part := range slices.Chunk(list, share) {
		running.Go(func() {
			for _, q := range part {
				q.judge()
				mu.Lock()
				for ; q != nil; q = cmp.Or(q.whole, q.other) {
					r.count(q)
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
}

// A verdict is which rules a question needed, and what was left.
type verdict struct {
	rules []*rule
	left  []string // what differs
}

// judge compares the replies to one question, after those to the questions
// that it led to.
func (q *question) judge() {
	if next := cmp.Or(q.whole, q.other); next != nil {
		next.judge()
	}
	q.settled = q.theirs.clone()
	q.cutOther(q.settled)
	for i := range q.world.rules {
		if rule := &q.world.rules[i]; rule.explains(q, q.ours, q.settled) {
			q.rules = append(q.rules, rule)
		}
	}
	q.left = diff(q.ours, q.settled)
	if q.wantsReason() && len(q.ours.opt.errors) == 0 {
		q.left = append(q.left, "ours says not why")
	}
}

// wantsReason reports whether our reply must have an Extended DNS Error: one
// of our own zones without an answer, to a client with EDNS. What an upstream
// says of an external name is its own affair.
func (q *question) wantsReason() bool {
	r := q.ours
	if _, end, _ := q.chain(); !below(strings.ToLower(end), q.world.apexes...) {
		return false
	}
	for _, record := range r.sections[authority] {
		if record.rrtype == "SOA" && !strings.HasPrefix(record.data, "ns.dns.") {
			return false
		}
	}
	return r.opt != nil && r.aa && !r.tc && (r.rcode != dns.RcodeSuccess || len(r.sections[answer]) == 0)
}

func (r *result) count(q *question) {
	v := q.verdict
	if len(v.left) == 0 {
		if len(v.rules) > 0 {
			r.explained++
		}
		for _, rule := range v.rules {
			r.used[rule.name]++
		}
		return
	}
	r.unexplained++
	shape := strings.Join(v.left, ", ")
	g := r.groups[shape]
	if g == nil {
		g = &group{shape: shape}
		r.groups[shape] = g
	}
	g.count++
	g.examples = append(g.examples, q)
	slices.SortStableFunc(g.examples, func(a, b *question) int { return cmp.Compare(a.size(), b.size()) })
	g.examples = g.examples[:min(len(g.examples), 40)]
}

// size orders examples: the plainest question says most.
func (q *question) size() int {
	n := len(q.what) + len(q.packet)
	if q.tcp {
		n += 20
	}
	if q.name() != q.msg.Question[0].Name {
		n += 20
	}
	return n
}

func (r *result) add(more *result) {
	r.seeds += more.seeds
	r.questions += more.questions
	r.again += more.again
	r.explained += more.explained
	r.unexplained += more.unexplained
	for name, n := range more.used {
		r.used[name] += n
	}
	for name, n := range more.effects {
		r.effects[name] += n
	}
	for shape, g := range more.groups {
		if r.groups[shape] == nil {
			r.groups[shape] = &group{shape: shape}
		}
		r.groups[shape].count += g.count
		r.groups[shape].examples = append(r.groups[shape].examples, g.examples...)
	}
}

// report prints what came of a run, and fails the test for what nobody
// explained and, after enough questions, for rules that explain nothing.
func (r *result) report(t *testing.T, rules []rule, enough int) {
	var text strings.Builder
	groups := slices.SortedFunc(maps.Values(r.groups), func(a, b *group) int { return cmp.Or(b.count-a.count, cmp.Compare(a.shape, b.shape)) })
	for _, g := range groups {
		fmt.Fprintf(&text, "\n==== %d unexplained: %s\n", g.count, g.shape)
		fmt.Fprintf(&text, "     names: %s\n", kinds(g.examples))
		for _, q := range g.examples[:min(len(g.examples), *shownFlag)] {
			fmt.Fprintf(&text, "  seed %d, %s: %s\n  %s\n  clusterdns:\n%s  coredns:\n%s", q.world.seed, q.under, q.what, q.dig(), indent(q.ours.beside(q.theirs)), indent(q.theirs.beside(q.ours))+q.leftover())
		}
	}
	fmt.Fprintf(&text, "\n%d questions and %d that these led to, %d seeds: %d answered differently and explained, %d unexplained\n", r.questions, r.again, r.seeds, r.explained, r.unexplained)
	for i := range rules {
		fmt.Fprintf(&text, "%8d  %s\n", r.used[rules[i].name], rules[i].name)
		here := rules[i].here == nil || rules[i].here()
		if r.used[rules[i].name] == 0 && r.questions >= enough && here {
			t.Errorf("rule %q explained nothing", rules[i].name)
		}
	}
	if r.unexplained > 0 {
		t.Errorf("%d unexplained differences", r.unexplained)
	}
	fmt.Println(text.String())
}

// leftover is the records that differ after the rules, if the rules changed
// any.
func (q *question) leftover() string {
	if len(q.rules) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("  after the rules, only one has:\n")
	for i := range q.ours.sections {
		for _, r := range q.ours.sections[i] {
			if !slices.Contains(q.settled.sections[i], r) {
				fmt.Fprintf(&b, "    clusterdns %s\n", r)
			}
		}
		for _, r := range q.settled.sections[i] {
			if !slices.Contains(q.ours.sections[i], r) {
				fmt.Fprintf(&b, "    coredns    %s\n", r)
			}
		}
	}
	return b.String()
}

func indent(text string) string {
	return "  " + strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\n  "), "  ")
}

// kinds are how the names of questions were made, and how often.
func kinds(list []*question) string {
	counts := map[string]int{}
	for _, q := range list {
		counts[q.what]++
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%d)", name, counts[name])
	}
	return strings.Join(names[:min(len(names), 8)], "; ")
}
