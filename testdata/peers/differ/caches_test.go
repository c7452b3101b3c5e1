package differ

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

// The differential test of the directive cache in time: both servers are asked for the same names at the same moments,
// while TTLs run out and the upstream fails for a while. Each server has an upstream of its own, which counts what it
// answers: the address in an answer says how often the server has got one, so that hits, misses, refreshes and stale
// answers can be told apart. The time is real, and all variants run at once.
//
//	go test -count=1 ./differ -run Caches                    all variants
//	go test -count=1 ./differ -run Caches -cachevariant 3    one

var cacheVariantFlag = flag.Int("cachevariant", -1, "the one variant of TestSameCaches; -1 for all")

// cacheVariants are what the server blocks have beside forward.
var cacheVariants = []string{
	"cache 31 {\n\t\tsuccess 9984 31 5\n\t}",
	"cache {\n\t\tsuccess 5000 3 1\n\t\tdenial 5000 7 1\n\t}",
	"cache 5 one.test {\n\t\tsuccess 5000 5 5\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t\tkeepttl\n\t\tservfail 3s\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t\tservfail 0\n\t\tdenial 5000 3 1\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t\tprefetch 2 1m 50%\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t\tserve_stale\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t\tserve_stale 5s\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t\tserve_stale 1m verify\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t\tserve_stale 1m immediate\n\t\tprefetch 1 1m 45%\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t\tdisable denial one.test\n\t\tdisable success two.test\n\t}",
	"cache {\n\t\tsuccess 5000 3600 5\n\t}\n\trewrite name suffix .two.test .three.test answer auto",
}

// between lies between two moments, at which questions are asked. They are half a second away from the end of every TTL
// here, whenever it began: 9 s and 18 s are the whole numbers of seconds that lie between two of them.
const between = 4500 * time.Millisecond

// A timetable is of moments. The upstream fails from one of them on, and works again from another.
type timetable struct{ moments, fails, works int }

var cacheTimes = timetable{moments: 10, fails: 4, works: 7}

// counting is an upstream that says in each address how often it has been asked for it.
type counting struct {
	mu      sync.Mutex
	asked   map[string]byte
	failing atomic.Bool
}

func newCounting() *counting { return &counting{asked: map[string]byte{}} }

// ServeDNS answers for names such as alias-8.one.test: what there is, and its TTL.
func (u *counting) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.RecursionAvailable, reply.Compress = true, true
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(1232, opt.Do())
	}
	name := query.Question[0].Name
	kind, rest, _ := strings.Cut(strings.ToLower(name), "-")
	number, _, _ := strings.Cut(rest, ".")
	ttl, _ := strconv.Atoi(number)
	u.mu.Lock()
	key := fmt.Sprintf("%s %d %v %v", strings.ToLower(name), query.Question[0].Qtype, query.IsEdns0() != nil && query.IsEdns0().Do(),
		query.CheckingDisabled)
	if !u.failing.Load() {
		u.asked[key]++
	}
	address := net.IPv4(192, 0, 2, u.asked[key])
	u.mu.Unlock()
	a := func(owner string, ttl int) dns.RR {
		return &dns.A{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: uint32(ttl)}, A: address}
	}
	soa := func(ttl, minimum int) dns.RR {
		return &dns.SOA{Hdr: dns.RR_Header{Name: "test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: uint32(ttl)},
			Ns: "ns.test.", Mbox: address.String() + ".test.", Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: uint32(minimum)}
	}
	switch {
	case query.Question[0].Qtype == dns.TypeSOA: // of startServer
		reply.Answer = []dns.RR{soa(60, 60)}
	case u.failing.Load():
		reply.Rcode = dns.RcodeServerFailure
	case kind == "address":
		reply.Answer = []dns.RR{a(name, ttl)}
	case kind == "alias":
		reply.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: uint32(ttl)},
			Target: "target.test."}, a("target.test.", ttl)}
	case kind == "gone":
		reply.Rcode, reply.Ns = dns.RcodeNameError, []dns.RR{soa(ttl, ttl)}
	case kind == "empty":
		reply.Ns = []dns.RR{soa(ttl, ttl)}
	case kind == "refused":
		reply.Rcode = dns.RcodeRefused
	default:
		reply.Rcode = dns.RcodeServerFailure
	}
	w.WriteMsg(reply)
}

// countedNames are the names that counting knows, each in both zones.
var countedNames = sync.OnceValue(func() (list []string) {
	for _, zone := range []string{"one.test.", "two.test."} {
		for kind, ttls := range map[string][]int{"address": {1, 3, 5, 6, 8, 13, 21, 31, 61, 4001}, "alias": {2, 7, 14, 31, 61},
			"gone": {3, 7, 20, 61, 2001}, "empty": {2, 8, 31, 61}, "refused": {1, 2}, "failed": {1, 2}} {
			for _, ttl := range ttls {
				list = append(list, fmt.Sprintf("%s-%d.%s", kind, ttl, zone))
			}
		}
	}
	slices.Sort(list)
	return list
})

// A cacheTrial is both servers on one variant.
type cacheTrial struct {
	*world
	servers   []*server
	upstreams []*counting
	list      []*question
	again     int // questions that these led to
}

// startCacheTrial starts both servers, each with its own upstream.
func startCacheTrial(t *testing.T, variant int) *cacheTrial {
	w := &world{seed: uint64(variant), Rand: rand.New(rand.NewPCG(uint64(variant), 0)), rules: cacheRules, timetable: cacheTimes}
	trial := &cacheTrial{world: w}
	for _, command := range []process.Command{process.Clusterdns, process.CoreDNS} {
		counting := newCounting()
		trial.upstreams = append(trial.upstreams, counting)
		upstream := startUpstream(t, counting)
		corefile := fmt.Sprintf("test {\n\terrors\n\tready READY\n\t%s\n\tforward . %s\n}\n%s {\n\tforward . %[2]s\n}\n",
			cacheVariants[variant], upstream, zone)
		w.under = "\n" + corefile
		trial.servers = append(trial.servers, startServer(t, command, corefile))
	}
	return trial
}

// countedQuestions are for most of the names, each of one client that always asks in the same way.
func (w *world) countedQuestions(t *testing.T, moment int) (round []*question) {
	for i, name := range countedNames() {
		q := &question{world: w, under: w.under, what: fmt.Sprintf("%s, moment %d", name, moment), moment: moment, tcp: i%5 == 0}
		if w.chance(8) {
			continue
		}
		q.msg.SetQuestion(name, dns.TypeA)
		if i%3 > 0 {
			q.msg.SetEdns0(1232, i%3 == 1)
		}
		q.msg.CheckingDisabled = i%7 == 0
		packet, err := q.msg.Pack()
		if err != nil {
			t.Fatal(err)
		}
		q.packet = packet
		round = append(round, q)
	}
	return round
}

// ask asks questions, and those that they lead to.
func (trial *cacheTrial) ask(t *testing.T, list []*question, again func(*question) *question) {
	trial.again += askRounds(t, trial.servers, list, again)
	trial.list = append(trial.list, list...)
}

// alone is for questions that lead to no other.
func alone(*question) *question { return nil }

// inTime has all trials ask at the moments of a timetable, and says how long after one the last answer came.
func (times timetable) inTime(t *testing.T, trials []*cacheTrial, ask func(trial *cacheTrial, moment int)) (late time.Duration) {
	began := time.Now()
	for moment := range times.moments {
		at := began.Add(time.Duration(moment) * between)
		time.Sleep(time.Until(at))
		var running sync.WaitGroup
		for _, trial := range trials {
			for _, u := range trial.upstreams {
				u.failing.Store(moment >= times.fails && moment < times.works)
			}
			running.Go(func() { ask(trial, moment) })
		}
		running.Wait()
		took := time.Since(at)
		t.Logf("moment %d: asked in %v", moment, took.Round(time.Millisecond))
		late = max(late, took)
	}
	return late
}

// cacheTries are of a timetable: where a question comes half a second late, its TTL may have ended for one of the servers, and
// what they answer says nothing.
const cacheTries = 4

func TestSameCaches(t *testing.T) {
	var trials []*cacheTrial
	for try := 1; ; try++ {
		trials = nil
		for i := range cacheVariants {
			if *cacheVariantFlag < 0 || *cacheVariantFlag == i {
				trials = append(trials, startCacheTrial(t, i))
			}
		}
		late := cacheTimes.inTime(t, trials, func(trial *cacheTrial, moment int) {
			trial.ask(t, trial.countedQuestions(t, moment), alone)
		})
		if late < 450*time.Millisecond {
			break
		}
		if try == cacheTries {
			t.Fatalf("this machine is too busy: a question came %v late in the last of %d tries", late, cacheTries)
		}
		for _, trial := range trials {
			for _, s := range trial.servers {
				s.Stop()
			}
		}
	}
	total := &result{used: map[string]int{}, groups: map[string]*group{}}
	for i, trial := range trials {
		own := &result{questions: len(trial.list), again: trial.again, used: map[string]int{}, groups: map[string]*group{}}
		own.judge(trial.list)
		t.Logf("variant %d: %d questions: %d answered differently and explained, %d unexplained", i, own.questions, own.explained, own.unexplained)
		total.add(own)
		total.seeds++
	}
	total.report(t, cacheRules, len(cacheVariants)*len(countedNames())*cacheTimes.moments*4/5)
}

// cacheRules explain the differences of TestSameCaches. That it takes time to show them is why none has a story; the
// docs/differences.md has them as text.
var cacheRules = []rule{
	{
		name: "what is stale says so",
		reason: "an answer that is older than its TTL says so in an Extended DNS Error and has a TTL of 30 s; CoreDNS gives " +
			"it a TTL of 0, and no error",
		see:      "RFC 8767 section 4, RFC 8914 sections 4.4 and 4.20",
		explains: cacheStale,
	},
	{
		name:     "an upstream that failed has 30 seconds",
		reason:   "behind a stale answer upstream is asked 30 s after it has failed; CoreDNS asks it with every query",
		see:      "RFC 8767 section 5",
		explains: cacheRecheck,
	},
	{
		name: "a name stays popular when its TTL ends",
		reason: "queries count for `prefetch` as long as there is no gap between them; CoreDNS begins anew with an answer that " +
			"it had to wait for",
		see:      "the directive's own description",
		explains: cachePopular,
	},
	{
		name:     "a failure is kept for its time",
		reason:   "a failure is neither fetched again early nor served stale; CoreDNS does both, as with an answer",
		see:      "RFC 9520 section 3.2",
		explains: cacheFailure,
	},
	{
		name:     "a failed refresh takes nothing away",
		reason:   "a denial whose TTL has not ended stays when its refresh fails; CoreDNS has the failure in its place",
		see:      "RFC 2308 section 5, RFC 8767 section 5",
		explains: cacheDenial,
	},
	{
		name:     "a second of age",
		reason:   "TTLs count down by seconds that begin when each server was answered",
		see:      "RFC 1035 section 3.2.1",
		explains: cacheAge,
	},
}

// cacheStale is for records of the same fetch.
func cacheStale(q *question, ours, theirs *reply) bool {
	if !ours.stale(q) || !ours.timed(theirs, func(our, their uint32) bool { return their == 0 }) {
		return false
	}
	theirs.takeErrors(ours)
	return true
}

// cacheRecheck is for the time from the first failure on: what is stale in one may be fresh in the other.
func cacheRecheck(q *question, ours, theirs *reply) bool {
	if q.moment <= q.world.fails || !strings.Contains(q.under, "\tserve_stale") || ours.rcode != theirs.rcode || !ours.fetched(theirs) {
		return false
	}
	theirs.like(ours)
	if ours.stale(q) {
		theirs.takeErrors(ours)
	}
	return true
}

// stale reports whether all records of r have the TTL of stale ones, and r says why to a client with EDNS.
func (r *reply) stale(q *question) bool {
	return strings.Contains(q.under, "\tserve_stale") && (r.opt == nil || len(r.opt.errors) == 1) &&
		!slices.ContainsFunc(slices.Concat(r.sections[:]...), func(r record) bool { return r.ttl != 30 })
}

// takeErrors gives r the Extended DNS Errors of other.
func (r *reply) takeErrors(other *reply) {
	if r.opt != nil && other.opt != nil {
		r.opt.errors = other.opt.errors
	}
}

// cachePopular is for names that were prefetched at another moment, the last one before the upstream failed perhaps.
func cachePopular(q *question, ours, theirs *reply) bool {
	missed := q.moment >= q.world.fails && len(ours.sections[answer]) > 0 && theirs.rcode == dns.RcodeServerFailure
	if !strings.Contains(q.under, "\tprefetch") || !missed && (ours.rcode != theirs.rcode || !ours.fetched(theirs)) {
		return false
	}
	theirs.like(ours)
	return true
}

// cacheDenial is for names that do not exist, or have no addresses, while the upstream fails.
func cacheDenial(q *question, ours, theirs *reply) bool {
	if q.moment < q.world.fails || !strings.Contains(q.under, "\tprefetch") || theirs.rcode != dns.RcodeServerFailure ||
		len(ours.sections[answer]) > 0 || len(ours.sections[authority]) == 0 {
		return false
	}
	theirs.like(ours)
	return true
}

// cacheFailure is for the time in which a cached failure may outlive the upstream's.
func cacheFailure(q *question, ours, theirs *reply) bool {
	failed := dns.RcodeServerFailure
	if q.moment < q.world.works || !strings.Contains(q.under, "\tprefetch") && !strings.Contains(q.under, "\tserve_stale") ||
		(ours.rcode == failed) == (theirs.rcode == failed) {
		return false
	}
	theirs.like(ours)
	return true
}

// fetched reports whether the records of r and other are the same but for the number that counting gives them, and TTLs.
func (r *reply) fetched(other *reply) bool {
	differ := false
	for i := range r.sections {
		if !slices.EqualFunc(r.sections[i], other.sections[i], func(a, b record) bool {
			differ = differ || a != b
			return strings.EqualFold(a.owner, b.owner) && a.rrtype == b.rrtype
		}) {
			return false
		}
	}
	return differ
}

func cacheAge(_ *question, ours, theirs *reply) bool {
	return ours.timed(theirs, func(our, their uint32) bool { return our+1 == their || our == their+1 })
}

// timed gives the records of other the TTLs of r if all are the same ones and differ by TTLs that fit.
func (r *reply) timed(other *reply, fit func(our, their uint32) bool) (changed bool) {
	for i := range r.sections {
		our, their := r.sections[i], other.sections[i]
		if len(our) != len(their) {
			return false
		}
		for j := range our {
			if !our[j].same(their[j]) || our[j].ttl != their[j].ttl && !fit(our[j].ttl, their[j].ttl) {
				return false
			}
			changed = changed || our[j].ttl != their[j].ttl
		}
	}
	if changed {
		for i := range r.sections {
			for j, our := range r.sections[i] {
				other.sections[i][j].ttl = our.ttl
			}
		}
	}
	return changed
}
