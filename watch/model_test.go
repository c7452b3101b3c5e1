package watch

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/zones"
)

var modelSteps = flag.Int("model.steps", 100_000, "random steps that TestModel takes the index and the model through, at least; -race takes a tenth")

// caseSteps is how many steps a cluster is taken through, on average.
const caseSteps = 250

// TestModel takes the index and a naive one through random steps of clusters, and asks both the same questions after each.
func TestModel(t *testing.T) {
	steps := fewer(*modelSteps, 10)
	setFlag(t, "rapid.seed", strconv.FormatInt(time.Now().UnixNano(), 10))
	setFlag(t, "rapid.steps", strconv.Itoa(caseSteps))
	setFlag(t, "rapid.checks", strconv.Itoa(steps*4/3/caseSteps+1)) // a third more: how many a case takes is random
	setFlag(t, "rapid.nofailfile", "true")                          // the seed tells it again
	t.Logf("-rapid.seed=%v", flag.Lookup("rapid.seed").Value)
	all, count := modelQuestions(), &tally{}
	rapid.Check(t, func(t *rapid.T) { drawMachine(t, count).live(t, all) })
	t.Log(count)
	if flag.Lookup("rapid.failfile").Value.String() == "" && count.steps < steps {
		t.Errorf("%d steps were asked for", steps)
	}
}

// setFlag sets a flag until the end of the test, unless the command line has it.
func setFlag(t *testing.T, name, text string) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	if f := flag.Lookup(name); !given {
		before := f.Value.String()
		must(t, f.Value.Set(text))
		t.Cleanup(func() { must(t, f.Value.Set(before)) })
	}
}

// tally is what happened, and what was asked, by what the model said.
type tally struct {
	steps, events, repeated, bookmarks, lists, backups int
	questions, records, srv, ptr, aliases, denied      int
}

func (c *tally) String() string {
	return fmt.Sprintf("%d steps: %d events, %d repeated or stale ones, %d bookmarks, %d lists, %d backups put back; "+
		"%d questions: %d answered with records (SRV %d, PTR %d, CNAME %d), %d denied or failed, the others NODATA",
		c.steps, c.events, c.repeated, c.bookmarks, c.lists, c.backups, c.questions, c.records, c.srv, c.ptr, c.aliases, c.denied)
}

func (c *tally) count(q *query, v *verdict) {
	c.questions++
	switch {
	case v.rcode != dns.RcodeSuccess:
		c.denied++
	case len(v.answer) == 0:
	case strings.Contains(v.answer[0], " CNAME "):
		c.aliases++
	case q.typ == dns.TypeSRV:
		c.srv++
	case q.typ == dns.TypePTR:
		c.ptr++
	}
	if len(v.answer) > 0 {
		c.records++
	}
}

// machine is a cluster under random steps: what its API server holds, what the server under test was told of it, and that server.
type machine struct {
	truth   world // what the API server holds
	version int   // of its last change
	saved   world // a backup of it
	savedAt int   // version; 0 without a backup

	model   naive   // its world is what the server was told
	history []event // that the server was told of
	state   *state
	stores  [kindsOf]*store
	client  *client
	tally   *tally
	touched []key // what the step is about, as questions have it
	idle    bool  // the step must change nothing
}

// event is what a watch says of an object.
type event struct {
	kind    int
	object  metav1.Object
	deleted bool
}

// text shows objects of a failure.
type text struct{ objects any }

func (t text) String() string {
	words, _ := json.Marshal(t.objects)
	return string(words)
}

func newMachine(o Options, pods zones.Pods) (*machine, error) {
	s, err := newState(o, zones.NewIndex(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	m := &machine{model: naive{world: newWorld(), options: o, pods: pods, local: modelServer}, truth: newWorld(), state: s}
	for kind, is := range []zones.Kinds{zones.Services, zones.Slices, zones.Namespaces, zones.PodObjects} {
		m.stores[kind] = &store{state: s, kind: is, alive: newAlive("")}
	}
	m.client, err = newClient(s.index, pods)
	return m, err
}

// drawMachine is an empty cluster with options.
func drawMachine(t *rapid.T, count *tally) *machine {
	o := Options{
		Namespaces:      pick(t, []string{"", "", "", "prod,svc"}, "namespaces"),
		NamespaceLabels: pick(t, []string{"", "", "", "", "team=a"}, "namespace_labels"),
		PodNames:        rapid.Bool().Draw(t, "endpoint_pod_names"),
		IgnoreEmpty:     rapid.IntRange(0, 4).Draw(t, "ignore empty_service") == 4,
		NoEndpoints:     rapid.IntRange(0, 9).Draw(t, "noendpoints") == 9,
		Zonal:           rapid.Bool().Draw(t, "zonal"),
	}
	pods := pick(t, []zones.Pods{zones.PodsVerified, zones.PodsVerified, zones.PodsInsecure, zones.PodsDisabled}, "pods")
	o.VerifyPods = pods == zones.PodsVerified
	m, err := newMachine(o, pods)
	if err != nil {
		t.Fatal(err)
	}
	m.tally = count
	return m
}

// live reads the kinds one after the other, and then takes step after step.
func (m *machine) live(t *rapid.T, all questions) {
	for range 3 {
		m.change(t)
	}
	for _, kind := range rapid.Permutation([]int{servicesOf, slicesOf, namespacesOf, podsOf}).Draw(t, "order") {
		m.ask(t, all)
		m.relist(t, kind)
		m.publish(t)
	}
	t.Repeat(map[string]func(*rapid.T){"step": func(t *rapid.T) {
		m.tally.steps++
		m.touched, m.idle = m.touched[:0], false
		m.step(t)
		m.publish(t)
		m.ask(t, all)
	}})
}

// step is one random event, or a few that are published together, or none.
func (m *machine) step(t *rapid.T) {
	switch what := rapid.IntRange(0, 99).Draw(t, "step"); {
	case what < 70:
		if e, ok := m.change(t); ok {
			m.tell(t, e)
		}
	case what < 77: // events come faster than they are published
		for range rapid.IntRange(2, 5).Draw(t, "burst") {
			if e, ok := m.change(t); ok {
				m.tell(t, e)
			}
		}
	case what < 86: // an event from the past, or the last one again
		m.idle = true
		if len(m.history) > 0 {
			m.tally.repeated++
			m.send(t, pick(t, m.history, "past"))
		}
	case what < 88:
		kind := rapid.IntRange(0, kindsOf-1).Draw(t, "kind")
		if m.idle = true; m.watches(kind) {
			m.tally.bookmarks++
			m.must(t, m.stores[kind].Bookmark(strconv.Itoa(m.version)))
		}
	case what < 97: // a connection was lost, and with it some events
		m.loseAndRelist(t)
	default:
		m.backup(t)
	}
}

func (m *machine) must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// loseAndRelist changes the API server behind the back of the server, and then lets it list all kinds that changed, and one more.
func (m *machine) loseAndRelist(t *rapid.T) {
	var lost [kindsOf]bool
	lost[rapid.IntRange(0, kindsOf-1).Draw(t, "kind")] = true
	changed := false
	for range rapid.IntRange(0, 4).Draw(t, "lost") {
		if e, ok := m.change(t); ok {
			m.touch(e)
			lost[e.kind], changed = true, true
		}
	}
	m.idle = !changed
	for kind := range lost {
		if lost[kind] {
			m.relist(t, kind)
			if changed && rapid.Bool().Draw(t, "published between kinds") {
				m.publish(t)
			}
		}
	}
}

// backup saves the API server's objects, or puts back what was saved last: an older state with lower versions, which are then given
// once more, to other changes.
func (m *machine) backup(t *rapid.T) {
	if m.savedAt == 0 || rapid.Bool().Draw(t, "save") {
		m.saved, m.savedAt = m.truth.clone(), m.version
		return
	}
	m.tally.backups++
	m.truth, m.version, m.history = m.saved.clone(), m.savedAt, nil
	for range rapid.IntRange(0, 4).Draw(t, "since") {
		m.change(t)
	}
	for kind := range m.truth {
		m.relist(t, kind)
	}
}

// publish compiles what changed. An event that changes nothing publishes nothing, and a change has a serial of its own.
func (m *machine) publish(t *rapid.T) {
	before := m.state.index.Snapshot()
	m.state.publish(time.Unix(1, 0))
	after := m.state.index.Snapshot()
	if m.idle && after != before {
		t.Fatal("an event that is to be passed over was published")
	}
	if after != before && after.Serial() <= before.Serial() {
		t.Fatalf("serial %d after %d", after.Serial(), before.Serial())
	}
}

// watches reports whether the server asks for a kind at all.
func (m *machine) watches(kind int) bool {
	return kind == servicesOf || kind == namespacesOf || kind == slicesOf && !m.model.options.NoEndpoints || kind == podsOf && m.model.options.VerifyPods
}

// tell lets the server under test and the model know of an event.
func (m *machine) tell(t *rapid.T, e event) {
	m.touch(e)
	if !m.watches(e.kind) {
		return
	}
	m.tally.events++
	m.send(t, e)
	m.history = append(m.history, e)
	if e.deleted {
		delete(m.model.world[e.kind], keyOf(e.object))
	} else {
		m.model.world[e.kind][keyOf(e.object)] = e.object
	}
}

// touch takes note of what an event is about, before and after it: a slice may go from one service to another.
func (m *machine) touch(e event) {
	for _, o := range []metav1.Object{m.model.world[e.kind][keyOf(e.object)], e.object} {
		switch o := o.(type) {
		case *corev1.Service:
			m.touched = append(m.touched, keyOf(o))
		case *discoveryv1.EndpointSlice:
			if owner := o.Labels[discoveryv1.LabelServiceName]; owner != "" {
				m.touched = append(m.touched, key{o.Namespace, owner})
			}
		case *corev1.Namespace:
			m.touched = append(m.touched, key{o.Name, ""}, key{o.Name, poolServices[m.version%len(poolServices)]})
		case *corev1.Pod:
			m.touched = append(m.touched, key{o.Namespace, ""})
		}
	}
}

// send calls the store as a reflector does.
func (m *machine) send(t *rapid.T, e event) {
	var err error
	to, version := m.stores[e.kind], e.object.GetResourceVersion()
	switch n, _ := strconv.Atoi(version); {
	case !e.deleted && n%2 == 0:
		err = to.Add(e.object)
	case !e.deleted:
		err = to.Update(e.object)
	case n%2 == 0:
		err = to.Delete(e.object)
	default:
		err = to.Delete(cache.DeletedFinalStateUnknown{Key: e.object.GetName(), Obj: e.object})
	}
	m.must(t, err)
	t.Logf("told: deleted %v: %T %v", e.deleted, e.object, text{e.object})
}

// relist gives the server the whole list of a kind, as a reflector does after a lost connection.
func (m *machine) relist(t *rapid.T, kind int) {
	if !m.watches(kind) {
		return
	}
	m.tally.lists++
	list := listOf(m.truth[kind])
	if rapid.Bool().Draw(t, "streamed") {
		for i := range list {
			var err error
			list[i], err = m.stores[kind].Transformer()(list[i])
			m.must(t, err)
		}
	}
	m.must(t, m.stores[kind].Replace(list, strconv.Itoa(m.version)))
	t.Logf("listed: kind %d: %v", kind, text{listOf(m.truth[kind])})
	m.model.world[kind] = m.truth.clone()[kind]
	m.model.read[kind] = true
}

// ask compares answers: to questions about what the last step touched, and to others. One number draws all of them, as shrinking
// needs few draws. Most names do not exist: one that is answered with records is looked for, a few times.
func (m *machine) ask(t *rapid.T, all questions) {
	random := rand.New(rand.NewPCG(uint64(rapid.Uint32().Draw(t, "questions")), 0))
	some := func(list []query, count int) {
		for range count {
			q := &list[random.IntN(len(list))]
			want := m.model.ask(q.name, q.typ)
			for try := 0; try < 2 && len(want.answer) == 0; try++ {
				q = &list[random.IntN(len(list))]
				want = m.model.ask(q.name, q.typ)
			}
			m.compare(t, q, want)
		}
	}
	for _, about := range m.touched {
		some(all.about[about], 1+7/len(m.touched))
	}
	some(all.about[key{}], 3)
	some(all.list, 3)
}

// compare asks the server what the model has answered.
func (m *machine) compare(t *rapid.T, q *query, want verdict) {
	m.tally.count(q, &want)
	got, serial, err := m.client.ask(q)
	if err != nil {
		t.Fatalf("%v: %v", q, err)
	}
	if strings.EqualFold(q.name, "ns.dns."+clusterZone) {
		got.answer = slices.Compact(got.answer) // hosts of a headless service may share an address, which then comes once for each
	}
	if !want.matches(got) {
		t.Fatalf("%v (-model +server):\n%s", q, cmp.Diff(want, got, cmp.AllowUnexported(verdict{})))
	}
	if now := m.state.index.Snapshot().Serial(); want.soa && serial != now {
		t.Fatalf("%v: serial %d, want %d", q, serial, now)
	}
}
