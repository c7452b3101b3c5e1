package differ

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

// The part of TestSameCorefiles that takes its time: what distributions ship is asked for the same names again and again
// while TTLs run out and the upstream fails for a moment. All distributions are asked in the same seconds, and each server
// has an upstream of its own, as in TestSameCaches.

var distributionTimes = timetable{moments: 5, fails: 3, works: 4}

// How many questions about a Corefile are asked at each moment, and how often those names that a prefetch is to find
// popular.
const lasting, popularity = 60, 24

// popular are names of which a prefetch is due at a moment, while the upstream works and while it fails.
var popular = []string{"address-5.one.test.", "alias-14.one.test.", "gone-3.one.test.", "empty-2.one.test."}

// lastingUpstream counts what it is asked for the names of TestSameCaches, and has the other ones of TestSameCorefiles.
type lastingUpstream struct{ *counting }

func (u lastingUpstream) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	name := query.Question[0].Name
	switch {
	case dns.IsSubDomain("one.test.", name) || dns.IsSubDomain("two.test.", name):
		u.counting.ServeDNS(w, query)
	case u.failing.Load():
		reply := new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
		if reply.RecursionAvailable = true; query.IsEdns0() != nil {
			reply.SetEdns0(1232, query.IsEdns0().Do())
		}
		w.WriteMsg(reply)
	default:
		corefileUpstream().ServeDNS(w, query)
	}
}

// A distributionTrial is both servers on the Corefile of a distribution.
type distributionTrial struct {
	cacheTrial
	file    wholeFile
	counts  *world      // for the names that are counted
	lasting []*question // that are asked at each moment
	began   time.Time
	got     *result
}

func TestSameCorefilesOfDistributions(t *testing.T) {
	w, kubeconfig := corefileWorld(t)
	got := w.distributionTrials(t, kubeconfig)
	got.report(t, corefileRules, 1<<30) // most rules are those of other tests
	for _, r := range briefRules {
		if *corefileFlag == "" && got.used[r.name] == 0 {
			t.Errorf("rule %q explained nothing", r.name)
		}
	}
}

// distributionTrials starts all of them, and asks each what the combinations are asked too; then those in time.
func (w *world) distributionTrials(t *testing.T, kubeconfig string) *result {
	var trials []*distributionTrial
	for i, name := range distributions(t) {
		if strings.HasPrefix(name, *corefileFlag) {
			trials = append(trials, w.newDistributionTrial(t, name, kubeconfig, uint64(i)))
		}
	}
	together := func(what string, do func(trial *distributionTrial)) {
		began := time.Now()
		var running sync.WaitGroup
		for _, trial := range trials {
			running.Go(func() { do(trial) })
		}
		running.Wait()
		t.Logf("%s in %v", what, time.Since(began).Round(time.Millisecond))
	}
	together("asked", func(trial *distributionTrial) {
		trial.began = time.Now()
		trial.got = trial.askCorefile(t, trial.file, trial.servers)
		trial.spread = uint32(time.Since(trial.began).Seconds())
	})
	var timed []*cacheTrial
	for _, trial := range trials {
		timed = append(timed, &trial.cacheTrial)
	}
	distributionTimes.inTime(t, timed, func(trial *cacheTrial, moment int) {
		trials[slices.Index(timed, trial)].askInTime(t, moment)
	})
	total := &result{used: map[string]int{}, groups: map[string]*group{}}
	together("judged", func(trial *distributionTrial) {
		for _, q := range trial.list {
			q.level()
		}
		trial.got.questions, trial.got.again = trial.got.questions+len(trial.list), trial.got.again+trial.again
		trial.got.judge(trial.list)
	})
	for _, trial := range trials {
		t.Logf("%s: %d questions, %d of these in time, and %d that they led to: %d answered differently and explained, %d unexplained",
			trial.file.name, trial.got.questions, len(trial.list), trial.got.again, trial.got.explained, trial.got.unexplained)
		total.add(trial.got)
	}
	together("stopped", func(trial *distributionTrial) {
		for _, s := range trial.servers {
			s.Stop()
		}
	})
	return total
}

func (w *world) newDistributionTrial(t *testing.T, name, kubeconfig string, seed uint64) *distributionTrial {
	trial := &distributionTrial{}
	for _, command := range []process.Command{process.Clusterdns, process.CoreDNS} {
		counting := newCounting()
		trial.upstreams = append(trial.upstreams, counting)
		trial.file = distribution(t, name, kubeconfig, startUpstream(t, lastingUpstream{counting}))
		trial.servers = append(trial.servers, startServer(t, command, trial.file.text))
	}
	trial.world = w.ofCorefile(trial.file, seed)
	trial.timetable = distributionTimes
	counts := *trial.world
	counts.rules = slices.Concat(cacheRules, briefRules[:1])
	trial.rules = slices.Concat(briefRules[1:], trial.rules)
	trial.counts, trial.lasting = &counts, trial.corefileQuestions(trial.file, lasting)
	return trial
}

// askInTime asks what is to be asked at a moment; at the first one all of it again, at once.
func (trial *distributionTrial) askInTime(t *testing.T, moment int) {
	list := trial.counts.countedQuestions(t, moment)
	trial.ask(t, list, alone)
	trial.askLasting(t, moment)
	if moment > 0 {
		return
	}
	var again []*question
	for _, q := range list {
		again = append(again, q.anew(", at once"))
		if slices.Contains(popular, q.name()) {
			for range popularity {
				again = append(again, q.anew(", often"))
			}
		}
	}
	trial.ask(t, again, alone)
	trial.askLasting(t, moment)
}

// askLasting asks the questions that are the same at each moment.
func (trial *distributionTrial) askLasting(t *testing.T, moment int) {
	var list []*question
	for _, q := range trial.lasting {
		q = q.anew(", in time")
		q.moment, q.age = moment, 1+uint32(time.Since(trial.began).Seconds())
		list = append(list, q)
	}
	trial.ask(t, list, (*question).again)
}

// briefRules are about what CoreDNS keeps for 5 s by default.
var briefRules = []rule{
	{
		name:     "a TTL is upstream's",
		reason:   "what has a TTL of less than 5 s is kept for that time; CoreDNS makes it 5 s",
		see:      "RFC 1035 section 3.2.1",
		explains: briefTTL,
	},
	{
		name:     "a denial without a SOA is not kept",
		reason:   "nothing says for how long it holds; CoreDNS keeps it for 5 s",
		see:      "RFC 2308 section 5",
		explains: briefDenial,
	},
	{
		name:     "a failure without recursion is nobody else's",
		reason:   "a failure is not kept for others if the query was without RD: who asks for recursion may be answered better",
		see:      "RFC 9520 section 3.2",
		explains: briefFailure,
	},
}

// briefTTL is for answers such as those to address-3.one.test, which may be of two fetches, or the one of a fetch that has
// failed.
func briefTTL(q *question, ours, theirs *reply) bool {
	_, rest, _ := strings.Cut(q.name(), "-")
	ttl, err := strconv.Atoi(strings.SplitN(rest, ".", 2)[0])
	records := slices.Concat(theirs.sections[:]...)
	if err != nil || ttl >= shortest || len(records) == 0 ||
		slices.ContainsFunc(records, func(r record) bool { return r.ttl > shortest }) {
		return false
	}
	failed := ours.rcode == dns.RcodeServerFailure && q.moment >= q.world.fails
	if !failed && !ours.timed(theirs, func(our, their uint32) bool { return int(our) <= ttl }) && !ours.fetched(theirs) {
		return false
	}
	theirs.like(ours)
	return true
}

// briefDenial is for the time in which the upstream fails, and in which that is kept.
func briefDenial(q *question, ours, theirs *reply) bool {
	if q.moment < q.world.fails || q.age == 0 || ours.rcode != dns.RcodeServerFailure ||
		theirs.rcode != dns.RcodeSuccess || len(slices.Concat(theirs.sections[:]...)) > 0 {
		return false
	}
	theirs.like(ours)
	return true
}

// briefFailure is for the time after the upstream has failed.
func briefFailure(q *question, ours, theirs *reply) bool {
	if q.moment != q.world.works || q.age == 0 || q.msg.RecursionDesired || ours.rcode == dns.RcodeServerFailure ||
		theirs.rcode != dns.RcodeServerFailure {
		return false
	}
	theirs.like(ours)
	return true
}
