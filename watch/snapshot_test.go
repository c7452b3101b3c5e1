package watch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"k8s.io/client-go/rest"
	"pgregory.net/rapid"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/watch/saved"
	"github.com/clusterdns/clusterdns/zones"
)

// snapshotsAt are those of a state, in a file. The cluster has the UID "one".
func snapshotsAt(s *state, path string) *snapshots {
	s.options.Snapshot = SnapshotFile{Path: path, MaxAge: time.Hour}
	s.requests.counts.Host = "10.96.0.1:443"
	s.snapshots = newSnapshots(s, &rest.Config{}, func(context.Context) (string, error) { return "one", nil })
	s.snapshots.uid.uid = "one"
	close(s.snapshots.owned)
	return s.snapshots
}

// restarted is a follower as after a restart while the API server is away: it has what the one before has written. Only
// what its model says is not shown yet.
func (f *follower) restarted(path string) (*follower, error) {
	snapshotsAt(f.state, path).write(false)
	if n := f.state.snapshots.counters; n.Writes != 1 {
		return nil, errors.New("no snapshot was written")
	}
	next, err := newFollower(f.model.options, f.model.pods)
	if err != nil {
		return nil, err
	}
	next.model = f.model
	if err := snapshotsAt(next.state, path).restore(); err != nil {
		return nil, err
	}
	next.publish()
	return next, nil
}

// restart restarts the server while the API server is away and has its objects changed, and lets it list them then.
func (m *machine) restart(t *rapid.T) {
	m.tally.restarts++
	folder, err := os.MkdirTemp("", "")
	m.must(t, err)
	defer os.RemoveAll(folder)
	for i, f := range m.followers {
		serial := f.state.index.Snapshot().Serial()
		next, err := f.restarted(filepath.Join(folder, strconv.Itoa(i)))
		m.must(t, err)
		if now := next.state.index.Snapshot(); now.Synced(zones.ServiceKinds) || now.Serial() < serial {
			t.Fatalf("serial %d after %d; shown before its time: %v", now.Serial(), serial, now.Synced(zones.ServiceKinds))
		}
		m.followers[i] = next
	}
	var set *zones.Index
	if m.multicluster() {
		set = m.followers[1].state.index
		m.followers[0].model.set = m.followers[1].model
	}
	m.client, err = newClient(m.followers[0].state.index, set, m.followers[0].model.pods)
	m.must(t, err)
	for _, f := range m.followers {
		f.state.snapshots.serve()
	}
	m.publish(t)
	m.ask(t)
	for range rapid.IntRange(0, 4).Draw(t, "while away") {
		m.change(t)
	}
	for _, list := range rapid.Permutation(m.lists()).Draw(t, "order") {
		m.relist(t, list.follower, list.kind)
		m.publish(t)
		m.ask(t)
	}
	for _, f := range m.followers {
		if why := f.state.index.Snapshot().Stale(); why != "" {
			t.Fatalf("all has been read, and answers say: %s", why)
		}
	}
}

// isStale is what answers say that come from a snapshot.
const isStale = "the API server cannot be read: this is of the snapshot of "

// unstale takes what is said of a snapshot from an answer, and checks that it is said where it must be.
func (m *machine) unstale(t *rapid.T, q *query, want verdict, got *verdict) {
	of := m.followers[0]
	if want.soa == setZone {
		of = m.followers[1]
	}
	stale := of.state.index.Snapshot().Stale() != ""
	info := map[int]int{dns.RcodeSuccess: 3, dns.RcodeNameError: 19}
	switch {
	case strings.HasPrefix(got.why, isStale) && got.error == info[got.rcode]:
		got.error, got.why = want.error, want.why
	case stale && want.soa != "":
		t.Fatalf("%v: nothing says that the answer is old: %d %q", q, got.error, got.why)
	}
}

// TestSnapshotHidesNothing reads names that exist throughout, while a server starts from a snapshot of another state of
// the cluster, and its lists come.
func TestSnapshotHidesNothing(t *testing.T) {
	o, folder := Options{Selection: object.Selection{VerifyPods: true}, IgnoreEmpty: true}, t.TempDir()
	queries, random := keptQueries(), rand.New(rand.NewPCG(1, 2))
	reads := 0
	for round := range 10 {
		before, err := newFollower(o, zones.PodsVerified)
		must(t, err)
		must(t, before.list(keptAt(round), "1"))
		before.publish()
		f, err := before.restarted(filepath.Join(folder, "snapshot"))
		must(t, err)
		f.state.snapshots.serve()
		f.publish()
		asking, err := newClient(f.state.index, nil, zones.PodsVerified)
		must(t, err)
		var absent atomic.Int64
		var count atomic.Int64
		c, n := asking.another(), 0
		done := looping(f.publish, func() {
			n++
			reply, err := c.send(queries[n%len(queries)].packet)
			if (err != nil || reply[3]&15 != dns.RcodeSuccess || reply[6] == 0 && reply[7] == 0) && absent.Add(1) < 5 {
				t.Errorf("%v is absent: %v", &queries[n%len(queries)], err)
			}
			count.Add(1)
		})
		w := keptAt(round + 1 + random.IntN(7))
		for _, kind := range random.Perm(len(f.stores)) {
			if f.stores[kind] != nil {
				must(t, f.stores[kind].Replace(listOf(w[kind]), "2"))
				for until := count.Load() + 200; count.Load() < until && !t.Failed(); {
					time.Sleep(100 * time.Microsecond)
				}
			}
		}
		done()
		f.publish()
		reads += int(count.Load())
		if why := f.state.index.Snapshot().Stale(); why != "" || t.Failed() {
			t.Fatalf("round %d: stale %q", round, why)
		}
	}
	t.Logf("%d reads", reads)
}

// filled is a follower that has read a cluster, and written it to a file.
func filled(t testing.TB) (f *follower, path string) {
	t.Helper()
	f, err := newFollower(Options{}, zones.PodsDisabled)
	must(t, err)
	must(t, f.list(keptAt(1), "1"))
	f.publish()
	path = filepath.Join(t.TempDir(), "snapshot")
	snapshotsAt(f.state, path).write(false)
	return f, path
}

// fresh is a state that has read nothing, with the snapshots of a file.
func fresh(t testing.TB, o Options, path string) *snapshots {
	t.Helper()
	s, err := newState(o, zones.NewIndex(), slog.New(slog.DiscardHandler))
	must(t, err)
	return snapshotsAt(s, path)
}

// TestSnapshotIsRefused starts with files that are not for it.
func TestSnapshotIsRefused(t *testing.T) {
	_, path := filled(t)
	for name, test := range map[string]struct {
		reason saved.Reason
		edit   func(*snapshots)
		spoil  func(content []byte) []byte
	}{
		"old":       {reason: saved.Old, edit: func(n *snapshots) { n.file.MaxAge = 0 }},
		"server":    {reason: saved.Cluster, edit: func(n *snapshots) { n.state.requests.counts.Host = "10.96.0.2:443" }},
		"authority": {reason: saved.Cluster, edit: func(n *snapshots) { n.config.CAData = []byte("another") }},
		"options":   {reason: saved.Options, edit: func(n *snapshots) { n.state.options.Zonal = true }},
		"torn":      {reason: saved.Torn, spoil: func(c []byte) []byte { return c[:len(c)/2] }},
		"version":   {reason: saved.Version, spoil: func(c []byte) []byte { c[9]++; return c }},
		"kinds":     {reason: saved.Invalid, edit: func(n *snapshots) { n.kinds = zones.PodObjects }},
		"cluster":   {reason: saved.Cluster, edit: func(n *snapshots) { n.uid.uid = "two" }},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(path)
			must(t, err)
			file := filepath.Join(t.TempDir(), "snapshot")
			if test.spoil != nil {
				content = test.spoil(content)
			}
			must(t, os.WriteFile(file, content, 0o600))
			n := fresh(t, Options{}, file)
			if test.edit != nil {
				test.edit(n)
			}
			n.restoreInTime()
			close(n.read)
			n.serve()
			n.state.publish(time.Now())
			must(t, n.admit(t.Context()))
			n.state.publish(time.Now())
			now := n.state.index.Snapshot()
			if services, _ := now.Size(); now.Synced(zones.Services) || now.Stale() != "" || n.state.services.len() > 0 {
				t.Errorf("%d services are served (%d objects): %q", services, n.state.services.len(), now.Stale())
			}
			if n.counters.Refused[test.reason] != 1 || len(n.counters.Refused) != 1 {
				t.Errorf("refused: %v", n.counters.Refused)
			}
		})
	}
}

// TestSnapshotWaits writes no snapshot of what is not all of a cluster, and none again of what has not changed.
func TestSnapshotWaits(t *testing.T) {
	f, path := filled(t)
	n := f.state.snapshots
	n.write(false)
	if n.counters.Writes != 1 {
		t.Error("what has not changed was written again")
	}
	must(t, f.stores[servicesOf].Replace(nil, "2"))
	n.write(false)
	if n.counters.Writes != 2 {
		t.Error("what has changed was not written")
	}
	half := fresh(t, Options{}, path)
	half.restoreInTime()
	half.serve()
	half.state.publish(time.Now())
	half.write(true)
	must(t, newStore(half.state, resourceOf(zones.Services), newAlive("services")).Replace(nil, "3"))
	half.write(true)
	if half.counters.Writes != 0 {
		t.Error("what was not read from the API server was written")
	}
	if !half.counters.At.Equal(n.counters.At) {
		t.Errorf("the file is of %v, and said to be of %v", n.counters.At, half.counters.At)
	}
}

// TestSnapshotOfReloads has no source write the file that another one answers from: neither one with the options of a
// Corefile that is not taken up yet, nor one that was replaced.
func TestSnapshotOfReloads(t *testing.T) {
	_, path := filled(t)
	other, err := newFollower(Options{Selection: object.Selection{Affinity: true}}, zones.PodsDisabled)
	must(t, err)
	must(t, other.list(keptAt(1), "1"))
	other.publish()
	n := snapshotsAt(other.state, path)
	n.owned = make(chan struct{})
	n.write(true)
	source := &Source{state: other.state}
	source.Own()
	source.Own() // a later reload keeps it
	source.Disown()
	n.write(true)
	if err := fresh(t, Options{}, path).restore(); err != nil {
		t.Errorf("%v: written by a source that does not answer", err)
	}
	n.disowned = false
	n.write(true)
	if n.counters.Writes != 1 {
		t.Error("the source that answers has not written")
	}
}

// TestSnapshotIsNotOvertaken has the disk hold up the rename of what a peer has given for longer than anyone waits for it: the
// source writes its own snapshot behind it, so that the newer one stays.
func TestSnapshotIsNotOvertaken(t *testing.T) {
	f, path := filled(t)
	n := f.state.snapshots
	must(t, f.stores[servicesOf].Replace(nil, "2"))
	synctest.Test(t, func(t *testing.T) {
		n.edited = make(chan struct{}, 1)
		disk := make(chan struct{})
		if done, err := n.place(func() error {
			<-disk
			return os.Remove(path)
		}); done || err != nil {
			t.Fatalf("%v, %v", done, err)
		}
		n.write(true)
		if n.counters.Writes != 1 || len(n.edited) != 1 {
			t.Errorf("%d are written, and %d will be tried again", n.counters.Writes, len(n.edited))
		}
		close(disk)
		synctest.Wait()
		n.write(false)
		if _, err := os.Stat(path); err != nil || n.counters.Writes != 2 {
			t.Errorf("%v, %d are written", err, n.counters.Writes)
		}
		if done, err := n.place(func() error { return os.ErrPermission }); !done || err != os.ErrPermission {
			t.Errorf("%v, %v", done, err)
		}
	})
}

// TestSnapshotOfReplacedIsNotLast has the disk hold up what a source puts at the path until a reload has replaced it, twice: the
// one that answers then writes its own behind it.
func TestSnapshotOfReplacedIsNotLast(t *testing.T) {
	f, path := filled(t)
	older, err := os.ReadFile(path)
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		disk := make(chan struct{})
		if done, _ := f.state.snapshots.place(func() error {
			<-disk
			return os.WriteFile(path, older, 0o600)
		}); done {
			t.Fatal("it was not held up")
		}
		replaced := &Source{state: f.state}
		for range 2 {
			next, err := newFollower(Options{Selection: object.Selection{Affinity: true}}, zones.PodsDisabled)
			must(t, err)
			must(t, next.list(keptAt(1), "1"))
			next.publish()
			snapshotsAt(next.state, path).owned = make(chan struct{})
			replaced.Disown()
			source := &Source{state: next.state}
			source.Own(&Source{state: &state{}}, replaced) // the first has no file
			next.state.snapshots.write(true)
			replaced = source
		}
		n := replaced.state.snapshots
		if n.counters.Writes != 0 || len(n.edited) != 1 {
			t.Errorf("%d are written, and %d will be tried again", n.counters.Writes, len(n.edited))
		}
		close(disk)
		synctest.Wait()
		n.write(false)
		if err := fresh(t, Options{Selection: object.Selection{Affinity: true}}, path).restore(); err != nil || n.counters.Writes != 1 {
			t.Errorf("%v, %d are written", err, n.counters.Writes)
		}
	})
}

// TestSnapshotOfSlowDisk has the disk take longer for a file than is waited for it: the next one is written no sooner behind it
// than behind any other.
func TestSnapshotOfSlowDisk(t *testing.T) {
	f, path := filled(t)
	synctest.Test(t, func(t *testing.T) {
		n := snapshotsAt(f.state, path+".slow")
		n.file.After = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			n.run(ctx)
		}()
		const over = saveSoon / 2 // so that it has been written when that is tried again
		n.place(func() error {
			time.Sleep(diskPatience + over)
			n.save(false)
			return nil
		})
		time.Sleep(over)
		for _, step := range []struct {
			after  time.Duration
			writes uint64
		}{{0, 1}, {saveInterval - time.Second, 1}, {2 * time.Second, 2}} {
			time.Sleep(step.after)
			synctest.Wait()
			n.state.mu.Lock()
			writes := n.counters.Writes
			n.state.mu.Unlock()
			if writes != step.writes {
				t.Errorf("%v later %d are written, want %d", step.after, writes, step.writes)
			}
			must(t, f.stores[servicesOf].Replace(nil, "2"))
		}
		cancel()
		<-ended
	})
}

// TestSnapshotIsLeftBehind has a file that is read for it not answer: nobody waits for the snapshot for ever, and it is written
// once the file answers.
func TestSnapshotIsLeftBehind(t *testing.T) {
	f, _ := filled(t)
	n := f.state.snapshots
	must(t, f.stores[servicesOf].Replace(nil, "2"))
	n.config.CAFile = fifo(t)
	n.write(false)
	if len(n.edited) != 1 {
		t.Error("it will not be tried again")
	}
	answer, err := os.OpenFile(n.config.CAFile, os.O_WRONLY, 0)
	must(t, err)
	must(t, answer.Close())
	n.turn.Lock()
	if n.counters.Writes != 2 {
		t.Errorf("%d are written", n.counters.Writes)
	}
}

// TestSnapshotFails has the one before stay where none can be written.
func TestSnapshotFails(t *testing.T) {
	f, path := filled(t)
	n := f.state.snapshots
	n.file.Path = filepath.Join(path, "below a file")
	must(t, f.stores[servicesOf].Replace(nil, "2"))
	n.write(false)
	if n.counters.Writes != 1 || n.counters.Failures != 1 {
		t.Errorf("%+v", n.counters)
	}
	if err := fresh(t, Options{}, path).restore(); err != nil {
		t.Error(err)
	}
}

// TestSnapshotIsServedWhileListsCome has the startup timeout end in the midst of lists.
func TestSnapshotIsServedWhileListsCome(t *testing.T) {
	_, path := filled(t)
	n := fresh(t, Options{}, path)
	n.restoreInTime()
	slices := newStore(n.state, resourceOf(zones.Slices), newAlive("slices"))
	var listing sync.WaitGroup
	listing.Go(func() {
		for version := range 50 {
			if err := slices.Replace(listOf(keptAt(version)[slicesOf]), strconv.Itoa(version+2)); err != nil {
				t.Error(err)
			}
		}
	})
	n.serve()
	listing.Wait()
	if !n.state.showRestored {
		t.Error("the snapshot is not served")
	}
}
