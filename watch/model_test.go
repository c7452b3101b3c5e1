package watch

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

var modelSteps = flag.Int(
	"model.steps",
	100_000,
	"random steps that TestModel takes the index and the model through, at least; -race takes a tenth",
)

// modelClients ask: endpoints, and others.
var modelClients = append([]string{"10.244.7.7", "fd00::7:7"}, slices.Concat(poolV4, poolV6)...)

// caseSteps is how many steps a cluster is taken through, on average.
const caseSteps = 250

// TestModel takes the index and a naive one through random steps of clusters, and asks both the same questions after
// each.
func TestModel(t *testing.T) {
	steps := fewer(*modelSteps, 10)
	setFlag(t, "rapid.seed", strconv.FormatInt(time.Now().UnixNano(), 10))
	setFlag(t, "rapid.steps", strconv.Itoa(caseSteps))
	setFlag(t, "rapid.checks", strconv.Itoa(steps*4/3/caseSteps+1)) // a third more: how many a case takes is random
	setFlag(t, "rapid.nofailfile", "true")                          // the seed tells it again
	t.Logf("-rapid.seed=%v", flag.Lookup("rapid.seed").Value)
	one, both, count := modelQuestions(clusterZone), modelQuestions(clusterZone, setZone), &tally{}
	rapid.Check(t, func(t *rapid.T) {
		m := drawMachine(t, count)
		m.questions = one
		if m.multicluster() {
			m.questions = both
		}
		m.live(t)
	})
	t.Log(count)
	if flag.Lookup("rapid.failfile").Value.String() == "" && count.steps < steps {
		t.Errorf("%d steps were asked for", steps)
	}
	if count.setRecords == 0 {
		t.Error("nothing was answered of a clusterset")
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

// machine is a cluster under random steps: what its API server holds, and a server that follows it.
type machine struct {
	truth   world // what the API server holds
	version int   // of its last change
	saved   world // a backup of it
	savedAt int   // version; 0 without a backup

	followers []*follower // of the cluster, and with the option multicluster of the clusterset
	client    *client
	questions questions
	tally     *tally
	touched   []topic // what the step is about
	idle      bool    // the step must change nothing
}

// event is what a watch reports of an object.
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

func newMachine(o Options, pods zones.Pods, multicluster bool) (*machine, error) {
	cluster, err := newFollower(o, pods)
	if err != nil {
		return nil, err
	}
	m := &machine{truth: newWorld(), followers: []*follower{cluster}}
	if !multicluster {
		m.client, err = newClient(cluster.state.index, nil, pods)
		return m, err
	}
	o.ServiceImports, o.VerifyPods, o.Zonal, o.Affinity = true, false, false, false // pods and topology zones have no names in a clusterset
	o.NearestCluster = o.Cluster != ""
	set, err := newFollower(o, zones.PodsDisabled)
	if err != nil {
		return nil, err
	}
	cluster.model.set = set.model
	m.followers = append(m.followers, set)
	m.client, err = newClient(cluster.state.index, set.state.index, pods)
	return m, err
}

// multicluster reports whether the cluster is in a clusterset.
func (m *machine) multicluster() bool { return len(m.followers) > 1 }

// drawMachine is an empty cluster with options.
func drawMachine(t *rapid.T, count *tally) *machine {
	o := Options{IgnoreEmpty: rapid.IntRange(0, 4).Draw(t, "ignore empty_service") == 4, Selection: object.Selection{
		Namespaces:      pick(t, []string{"", "", "", "prod,svc"}, "namespaces"),
		NamespaceLabels: pick(t, []string{"", "", "", "", "team=a"}, "namespace_labels"),
		PodNames:        rapid.Bool().Draw(t, "endpoint_pod_names"),
		NoEndpoints:     rapid.IntRange(0, 9).Draw(t, "noendpoints") == 9,
		Zonal:           rapid.Bool().Draw(t, "zonal"),
		Affinity:        rapid.Bool().Draw(t, "affinity"),
	}}
	o.Cluster = pick(t, []string{"", "east", "west"}, "cluster_id") // which only imports look at
	o.ClusterOff = rapid.Bool().Draw(t, "nearest off")
	pods := pick(t, []zones.Pods{zones.PodsVerified, zones.PodsVerified, zones.PodsInsecure, zones.PodsDisabled}, "pods")
	o.VerifyPods = pods == zones.PodsVerified
	m, err := newMachine(o, pods, rapid.IntRange(0, 2).Draw(t, "multicluster") == 2)
	if err != nil {
		t.Fatal(err)
	}
	m.tally = count
	return m
}

// live reads the kinds one after the other, and then takes step after step.
func (m *machine) live(t *rapid.T) {
	for range 3 {
		m.change(t)
	}
	for _, list := range rapid.Permutation(m.lists()).Draw(t, "order") {
		m.ask(t)
		m.relist(t, list.follower, list.kind)
		m.publish(t)
	}
	t.Repeat(map[string]func(*rapid.T){"step": func(t *rapid.T) {
		m.tally.steps++
		m.touched, m.idle = m.touched[:0], false
		m.step(t)
		m.publish(t)
		m.ask(t)
		m.compareOwners(t)
	}})
}

// watched is a kind that a source asks the API server for.
type watched struct {
	follower *follower
	kind     int
}

// lists are all that the sources ask for.
func (m *machine) lists() (all []watched) {
	for _, f := range m.followers {
		for kind, to := range f.stores {
			if to != nil {
				all = append(all, watched{f, kind})
			}
		}
	}
	return all
}

// step is one random event, or a few that are published together, or none.
func (m *machine) step(t *rapid.T) {
	switch what := rapid.IntRange(0, 99).Draw(t, "step"); {
	case what < 70:
		if e, ok := m.change(t); ok {
			m.tell(t, e, nil)
		}
	case what < 77: // events come faster than they are published
		for range rapid.IntRange(2, 5).Draw(t, "burst") {
			if e, ok := m.change(t); ok {
				m.tell(t, e, nil)
			}
		}
	case what < 86: // an event from the past, or the last one again
		m.idle = true
		if f := pick(t, m.followers, "source"); len(f.history) > 0 {
			m.tally.repeated++
			m.send(t, f, pick(t, f.history, "past"))
		}
	case what < 88:
		m.idle = true
		m.tally.bookmarks++
		list := pick(t, m.lists(), "kind")
		m.must(t, list.follower.stores[list.kind].Bookmark(strconv.Itoa(m.version)))
	case what < 97: // a connection was lost, and with it some events
		m.loseAndRelist(t)
	case what == 97 && rapid.IntRange(0, 3).Draw(t, "restart") == 3:
		m.restart(t)
	default:
		m.backup(t)
	}
}

func (m *machine) must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// loseAndRelist changes the API server behind the back of one source, and then lets it list all kinds that changed, and
// one more.
func (m *machine) loseAndRelist(t *rapid.T) {
	one := pick(t, m.lists(), "kind")
	var lost [kindsOf]bool
	lost[one.kind] = true
	changed := false
	for range rapid.IntRange(0, 4).Draw(t, "lost") {
		if e, ok := m.change(t); ok {
			m.tell(t, e, one.follower)
			lost[e.kind], changed = true, true
		}
	}
	m.idle = !changed
	for kind := range lost {
		if lost[kind] {
			m.relist(t, one.follower, kind)
			if changed && rapid.Bool().Draw(t, "published between kinds") {
				m.publish(t)
			}
		}
	}
}

// backup saves the API server's objects, or puts back what was saved last: an older state with lower versions, which
// are then given once more, to other changes.
func (m *machine) backup(t *rapid.T) {
	if m.savedAt == 0 || rapid.Bool().Draw(t, "save") {
		m.saved, m.savedAt = m.truth.clone(), m.version
		return
	}
	m.tally.backups++
	m.truth, m.version = m.saved.clone(), m.savedAt
	for range rapid.IntRange(0, 4).Draw(t, "since") {
		m.change(t)
	}
	for _, f := range m.followers {
		f.history = nil
		for kind := range f.stores {
			m.relist(t, f, kind)
		}
	}
}

// publish compiles what changed, and now and then numbers it. An event that changes nothing publishes nothing. What has a
// serial has it alone.
func (m *machine) publish(t *rapid.T) {
	for _, f := range m.followers {
		before := f.state.index.Snapshot()
		f.publish()
		after := f.state.index.Snapshot()
		if m.idle && after != before {
			t.Fatal("an event that is to be passed over was published")
		}
		if after != before && !after.Changed() && after.Stale() == before.Stale() {
			t.Fatal("a change has the serial of what was before")
		}
		if rapid.IntRange(0, 3).Draw(t, "number") > 0 {
			continue
		}
		last := f.state.index.Numbered()
		f.state.index.Number(time.Now())
		if now := f.state.index.Numbered(); (now != last) != after.Changed() || now != last && now.Serial() <= last.Serial() {
			t.Fatalf("serial %d after %d, changed %v", now.Serial(), last.Serial(), after.Changed())
		}
	}
}

// tell lets the sources under test and their models know of an event, but for one that has lost its connection; nil for
// none.
func (m *machine) tell(t *rapid.T, e event, lost *follower) {
	for _, f := range m.followers {
		m.touch(f, f.model.world[e.kind][keyOf(e.object)])
		m.touch(f, e.object)
		if f.stores[e.kind] != nil && f != lost {
			m.tally.events++
			m.send(t, f, e)
			f.take(e)
		}
	}
}

// touch takes note of what an object before an event or after it is about: a slice may go from one service to another.
func (m *machine) touch(f *follower, o metav1.Object) {
	zone := f.model.zone()
	switch o := o.(type) {
	case *corev1.Service:
		m.about(clusterZone, keyOf(o))
	case *object.ServiceImport:
		m.about(setZone, keyOf(o))
	case *discoveryv1.EndpointSlice:
		label := discoveryv1.LabelServiceName
		if zone == setZone {
			label = importName
		}
		if owner := o.Labels[label]; owner != "" {
			m.about(zone, object.Key{Namespace: o.Namespace, Name: owner})
		}
	case *corev1.Namespace:
		m.about(zone, object.Key{Namespace: o.Name, Name: ""})
		m.about(zone, object.Key{Namespace: o.Name, Name: poolServices[m.version%len(poolServices)]})
	case *corev1.Pod:
		m.about(clusterZone, object.Key{Namespace: o.Namespace, Name: ""})
	}
}

// about takes note of a service of a zone, or of a namespace.
func (m *machine) about(zone string, k object.Key) {
	if what := (topic{zone, k}); !slices.Contains(m.touched, what) {
		m.touched = append(m.touched, what)
	}
}

// send calls the store as a reflector does.
func (m *machine) send(t *rapid.T, f *follower, e event) {
	var err error
	to, version := f.stores[e.kind], e.object.GetResourceVersion()
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
	t.Logf("told of %s: deleted %v: %T %v", f.model.zone(), e.deleted, e.object, text{e.object})
}

// relist gives a source the whole list of a kind, as a reflector does after a lost connection.
func (m *machine) relist(t *rapid.T, f *follower, kind int) {
	to := f.stores[kind]
	if to == nil {
		return
	}
	m.tally.lists++
	list := listOf(m.truth[kind])
	if rapid.Bool().Draw(t, "streamed") {
		for i := range list {
			var err error
			list[i], err = to.Transformer()(list[i])
			m.must(t, err)
		}
	}
	m.must(t, to.Replace(list, strconv.Itoa(m.version)))
	t.Logf("listed of %s: kind %d: %v", f.model.zone(), kind, text{listOf(m.truth[kind])})
	f.model.world[kind] = m.truth.clone()[kind]
	f.model.read[kind] = true
}

// ask compares answers: to questions about what the last step touched, and to others. One number draws all of them, as
// shrinking needs few draws. Most names do not exist: one that is answered with records is looked for, a few times.
func (m *machine) ask(t *rapid.T) {
	all := m.questions
	random := rand.New(rand.NewPCG(uint64(rapid.Uint32().Draw(t, "questions")), 0))
	asker := address(modelClients[random.IntN(len(modelClients))])
	m.client.request.Client = netip.AddrPortFrom(asker, 5353)
	for _, f := range m.followers {
		f.model.asker = asker
	}
	some := func(list []query, count int) {
		for range count {
			q := &list[random.IntN(len(list))]
			want := m.followers[0].model.ask(q.name, q.typ)
			for try := 0; try < 2 && len(want.answer) == 0; try++ {
				q = &list[random.IntN(len(list))]
				want = m.followers[0].model.ask(q.name, q.typ)
			}
			m.compare(t, q, want)
		}
	}
	for _, about := range m.touched {
		some(all.about[about], 1+7/len(m.touched))
	}
	for _, f := range m.followers {
		some(all.about[topic{zone: f.model.zone()}], 3)
	}
	some(all.list, 3)
}

// compareOwners compares whose addresses are, for autopath: of pods that come, go and have one address after another.
func (m *machine) compareOwners(t *rapid.T) {
	f := m.followers[0]
	for _, text := range slices.Concat(poolV4, poolV6) {
		addr := address(text)
		got := strings.TrimLeft(f.state.index.Snapshot().PodNamespace(new(zones.Match), addr), "\x03\x04\x0b")
		if want := f.model.namespaceOf(addr); f.stores[podsOf] != nil && got != want {
			t.Fatalf("%v is of a pod of %q, want %q", addr, got, want)
		}
	}
}

// compare asks the server what the model has answered.
func (m *machine) compare(t *rapid.T, q *query, want verdict) {
	m.tally.count(q, &want)
	got, serial, err := m.client.ask(q)
	if err != nil {
		t.Fatalf("%v: %v", q, err)
	}
	m.unstale(t, q, want, &got)
	if !want.matches(got) {
		t.Fatalf("%v (-model +server):\n%s", q, cmp.Diff(want, got, cmp.AllowUnexported(verdict{})))
	}
	if now := m.serial(want.soa); want.soa != "" && serial != now {
		t.Fatalf("%v: serial %d, want %d", q, serial, now)
	}
}

// serial is that of a zone. Reverse zones are the cluster's.
func (m *machine) serial(zone string) uint32 {
	of := m.followers[0]
	if zone == setZone {
		of = m.followers[1]
	}
	return of.state.index.Snapshot().Serial()
}
