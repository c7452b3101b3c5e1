package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/watch/saved"
	"github.com/clusterdns/clusterdns/zones"
)

// Names while the API server is away. What a source holds is written to a file while it is read from the API server. The
// next start takes the objects of the file first: they are held and compiled at once, and not shown. What lists bring is
// then a diff to them, as with a relist. They are shown when an attempt to read the API server has failed, or after the
// startup timeout, until lists have replaced them all; answers say meanwhile that they are old.

// SnapshotFile is where a source keeps its objects for the next start. The zero value is nowhere.
type SnapshotFile struct {
	Path   string
	MaxAge time.Duration
	After  time.Duration // when the file is served at the latest, if the API server has not been read
	Peers  Peers
}

// SnapshotMaxAge is how old a file may be that is served, by default: longer than outages take, and short enough that an
// address has seldom another owner.
const SnapshotMaxAge = 24 * time.Hour

const (
	// saveInterval is the least time between two writes of a file.
	saveInterval = time.Minute
	// saveSoon is when the first file is written once all has been read: the start has other work.
	saveSoon = 5 * time.Second
	// renewAge is when a file whose objects have not changed is written again, so that it is not taken for an old one; and
	// a quarter of the age that it may have, if that is less.
	renewAge = time.Hour
	// diskPatience is how long the lists of a start wait for the file, and the end of the program for its last write: a
	// disk that does not answer must hold up neither.
	diskPatience = 5 * time.Second
	// clockPatience is how far ahead of the clock a file may be: clocks of machines differ a little.
	clockPatience = 5 * time.Minute
	// identityPatience bounds the question which cluster the API server is of, and how long one may not know it.
	identityPatience = 10 * time.Second
)

// SnapshotCounters are what is counted of a file.
type SnapshotCounters struct {
	At       time.Time // when the cluster had the objects of the file that the next start would read; zero without one
	Size     int64     // octets of it
	Writes   uint64
	Failures uint64 // to write
	Refused  map[saved.Reason]uint64
	Serving  bool             // answers come from the file
	Asked    map[Asked]uint64 // peers for theirs, by result; nil without peers
	Given    map[Given]uint64 // requests of peers, by result; nil without peers
	Panics   uint64           // of such requests
}

// snapshots writes and reads the file of a source of an API server.
type snapshots struct {
	state    *state
	file     SnapshotFile
	kinds    zones.Kinds   // all that the source reads
	config   *rest.Config  // names the API server and its authority
	log      *slog.Logger  //
	uid      identity      // of the cluster
	read     chan struct{} // closed once the file has been read, and no peer is asked any more, or will not be waited for
	away     chan struct{} // closed when the API server could not be read
	missed   sync.Once     // closes away
	judged   sync.Once     // compares the cluster of the file with that of the API server
	present  chan struct{} // closed when the API server has said of which cluster it is
	answered sync.Once     // closes present
	edited   chan struct{} // holds one token after something was published
	owned    chan struct{} // closed when the file is this source's: answers come from it
	owning   sync.Once     // closes owned
	failures observe.Limiter

	limit    int64         // octets that are taken of a peer
	patience time.Duration // for one peer
	pause    time.Duration // between the first two rounds of asking
	giving   chan struct{} // has an element while a peer is given the file
	unasked  observe.Limiter
	ungiven  observe.Limiter
	denied   observe.Limiter
	panics   observe.Panics

	// Guarded by the state's lock.
	about    saved.About // of the file whose objects are held
	gaveUp   bool        // the file is not waited for any more
	disowned bool        // another source answers in the place of this one, and the file is that one's
	counters SnapshotCounters

	// Of the goroutine of run alone.
	wrote time.Time // when the last file was written
	edits uint64    // of its objects
}

func newSnapshots(s *state, config *rest.Config, ask func(context.Context) (string, error)) *snapshots {
	n := &snapshots{state: s, file: s.options.Snapshot, config: config, log: s.log, uid: identity{ask: ask},
		read: make(chan struct{}), away: make(chan struct{}), present: make(chan struct{}), edited: make(chan struct{}, 1),
		owned: make(chan struct{}),
		limit: saved.MaxSize, patience: peerPatience, pause: askPause, giving: make(chan struct{}, 1)}
	n.counters.Refused, n.counters.Asked, n.counters.Given = map[saved.Reason]uint64{}, map[Asked]uint64{}, map[Given]uint64{}
	for i := range object.Resources {
		if r := &object.Resources[i]; r.When(s.options.Selection) {
			n.kinds |= r.Kind
		}
	}
	return n
}

// run reads the file, and that of a peer where there is reason to, and then writes it whenever there is reason to, until
// ctx ends and a last time then.
func (n *snapshots) run(ctx context.Context) {
	late := time.After(n.file.After)
	n.restoreInTime()
	search := n.search(ctx)
	defer search.stop()
	away, owned := n.away, n.owned
	renew := time.NewTicker(min(renewAge, max(n.file.MaxAge/4, saveInterval)))
	defer renew.Stop()
	var next <-chan time.Time
	for {
		select {
		case <-late:
			n.serve()
			search.begin()
		case <-away:
			away = nil
			n.serve()
			search.begin()
		case offer := <-search.next():
			search.take(offer)
		case settled := <-search.taken:
			search.tried(settled)
		case <-search.present:
			search.end()
		case <-owned:
			owned = nil
			n.published() // what has been read until now has not been written
		case <-n.edited:
			if wait := time.Until(n.wrote.Add(saveInterval)); next == nil && n.complete() {
				next = time.After(max(wait, saveSoon))
			}
		case <-next:
			next = nil
			if search.taken != nil { // which puts a file of a peer there, and must not be put in the place of a later one
				next = time.After(saveSoon)
				continue
			}
			n.write(false)
		case <-renew.C:
			if search.taken == nil {
				n.write(true)
			}
		case <-ctx.Done():
			if search.taken == nil {
				inTime(func() { n.write(true) })
			}
			return
		}
	}
}

// inTime runs do, and leaves it behind when the disk does not answer.
func inTime(do func()) (done bool) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do()
	}()
	select {
	case <-ended:
		return true
	case <-time.After(diskPatience):
		return false
	}
}

// restoreInTime takes the objects of the file, or none: then the log says why, unless nobody waits for them any more.
func (n *snapshots) restoreInTime() {
	var restored error // of restore, which may go on when it is too late
	err := error(&saved.Refusal{Reason: saved.Unreadable, Words: fmt.Sprintf("cannot be read within %v", diskPatience)})
	late := !inTime(func() { restored = n.restore() })
	if !late {
		err = restored
	}
	if errors.Is(err, fs.ErrNotExist) {
		n.log.Info("kubernetes: no snapshot yet", "file", n.file.Path)
	} else if err != nil {
		n.refuse(err, func() bool {
			abandoned := n.gaveUp // lists may come since then
			n.gaveUp = abandoned || late
			return !abandoned
		})
	}
}

// refuse drops what the file has brought, and says why, if valid says so while the state is locked.
func (n *snapshots) refuse(err error, valid func() bool) {
	s, refused := n.state, false
	reason := saved.Unreadable
	if refusal, ok := errors.AsType[*saved.Refusal](err); ok {
		reason = refusal.Reason
	}
	s.change(func() {
		if refused = valid(); !refused {
			return
		}
		s.dropRestored()
		n.about = saved.About{}
		n.counters.Refused[reason]++
	})
	if refused {
		n.log.Warn("kubernetes: the snapshot is refused: "+n.file.Path+" "+err.Error(), "reason", string(reason))
	}
}

// restore has the state hold the objects of the file. No list has been taken before.
func (n *snapshots) restore() error {
	f, err := saved.Open(n.file.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := n.check(&f.About); err != nil {
		return err
	}
	s := n.state
	err = f.Each(func(kind zones.Kinds, list []object.Object) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case n.gaveUp:
			return errGaveUp
		case kind&n.kinds != kind || s.kinds[kind] == nil:
			return &saved.Refusal{Reason: saved.Invalid, Words: "has objects of a kind that is not read"}
		}
		for _, o := range list {
			object.Relocate(o, func(namespace string, old zones.Place) zones.Place {
				if int(old) >= len(f.Places) {
					return 0
				}
				return s.options.Places.Number(namespace, f.Places[old])
			})
			s.set(kind, o)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.change(func() {
		if n.gaveUp {
			err = errGaveUp
			return
		}
		s.restored, s.serial = n.kinds, f.Serial
		n.about, n.counters.At, n.counters.Size = f.About, f.At, f.Size
	})
	return err
}

var errGaveUp = errors.New("came too late")

// check returns why a file is not for this source, as far as that can be known without the API server.
func (n *snapshots) check(about *saved.About) error {
	server, authority := n.server()
	age := time.Since(about.At)
	switch {
	case about.Server != server:
		return &saved.Refusal{Reason: saved.Cluster, Words: fmt.Sprintf("is of the API server %s, and this one is %s", about.Server, server)}
	case about.Authority != authority:
		return &saved.Refusal{Reason: saved.Cluster, Words: "is of an API server at the same address with another CA certificate"}
	case about.Selection != n.selection():
		return &saved.Refusal{Reason: saved.Options, Words: "was written with other options of the Corefile, which choose what is read"}
	case age > n.file.MaxAge:
		return &saved.Refusal{Reason: saved.Old, Words: fmt.Sprintf("is of %s, and may be %v old", clock(about.At), n.file.MaxAge)}
	case age < -clockPatience:
		return &saved.Refusal{Reason: saved.Old, Words: fmt.Sprintf("is of %s, which is in the future: set the clock", clock(about.At))}
	}
	return nil
}

// server is what the API server is known by before it answers: its host, and a digest of its CA certificates.
func (n *snapshots) server() (host, authority string) {
	content := n.config.CAData
	if len(content) == 0 && n.config.CAFile != "" {
		content, _ = os.ReadFile(n.config.CAFile) // read anew, since it may have been renewed
	}
	return n.state.requests.read().Host, digest(content)
}

// selection is a digest of all that chooses what is held.
func (n *snapshots) selection() string {
	s := n.state.options.Selection
	s.Places = nil // an address of this process
	return digest(fmt.Appendf(nil, "%+v", s))
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// clock is a time as people read it: of today the hour.
func clock(t time.Time) string {
	if t = t.Local(); time.Since(t).Abs() < 12*time.Hour {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}

// published takes note that something was published.
func (n *snapshots) published() {
	select {
	case n.edited <- struct{}{}:
	default:
	}
}

// missing takes note that the API server could not be read. Waiting for it would bring nothing.
func (n *snapshots) missing() {
	if n != nil {
		n.missed.Do(func() { close(n.away) })
	}
}

// serve shows what the file has brought, unless lists have replaced it.
func (n *snapshots) serve() {
	s, line := n.state, ""
	s.change(func() {
		if s.restored&^s.synced == 0 || s.showRestored {
			return
		}
		s.showRestored = true
		at := clock(n.about.At)
		s.stale = "the API server cannot be read: this is of the snapshot of " + at
		services, endpoints := s.sizes()
		line = fmt.Sprintf("kubernetes: the API server cannot be read: answering from the snapshot of %s: %d services, %d endpoints",
			at, services, endpoints)
	})
	if line != "" {
		n.log.Warn(line, "file", n.file.Path)
	}
}

// admit returns once lists may be taken: the file has been read, and the API server is of the cluster that it is of. If
// it is not, nothing of the file is held any more.
func (n *snapshots) admit(ctx context.Context) error {
	if n == nil {
		return nil
	}
	uid, err := n.uid.get(ctx)
	if err != nil {
		return err
	}
	n.answered.Do(func() { close(n.present) })
	select {
	case <-n.read:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	n.judged.Do(func() {
		n.state.mu.Lock()
		of, held := n.about.Cluster, n.state.restored != 0
		n.state.mu.Unlock()
		if held && of != uid {
			n.refuse(&saved.Refusal{Reason: saved.Cluster,
				Words: "is of another cluster: there the namespace kube-system has the UID " + of + ", here " + uid},
				func() bool { return true })
		}
	})
	return nil
}

// rowOf is the first row of a kind.
func rowOf(kind zones.Kinds) *object.Resource {
	at := slices.IndexFunc(object.Resources, func(r object.Resource) bool { return r.Kind == kind })
	return &object.Resources[at]
}

// Own says that answers come from the source: it may write its snapshot file, and ask peers for theirs. A source that a
// reload starts has the file of the one that it may replace, and the reload may still fail.
func (s *Source) Own() {
	if n := s.state.snapshots; n != nil {
		n.owning.Do(func() { close(n.owned) })
	}
}

// Disown says that another source answers in the place of this one, which writes nothing any more.
func (s *Source) Disown() {
	if n := s.state.snapshots; n != nil {
		n.state.mu.Lock()
		n.disowned = true
		n.state.mu.Unlock()
	}
}

// owns reports whether the file is this source's. The state is locked.
func (n *snapshots) owns() bool {
	select {
	case <-n.owned:
		return !n.disowned
	default:
		return false
	}
}

// complete reports whether all that the source holds was read from the API server.
func (n *snapshots) complete() bool {
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	return n.state.synced&n.kinds == n.kinds
}

// write writes the file, if it is this source's, and all has been read from the API server and has changed since, or with renew if the file would
// be of a later time. The state is locked while pointers to its objects are copied, and no longer: the objects never
// change.
func (n *snapshots) write(renew bool) {
	s := n.state
	s.mu.Lock()
	at, edits := s.knownAt(), s.edits()
	old := edits == n.edits && (!renew || !at.After(n.counters.At))
	if !n.owns() || s.synced&n.kinds != n.kinds || !n.wrote.IsZero() && old {
		s.mu.Unlock()
		return
	}
	sections := s.sections(n.kinds)
	about := saved.About{At: at, Serial: s.index.Snapshot().Serial()}
	s.mu.Unlock()

	if about.Cluster = n.uid.known(); about.Cluster == "" {
		return // a start could not tell whether it is of its cluster
	}
	about.Places = s.options.Places.All()
	about.Server, about.Authority = n.server()
	about.Selection = n.selection()
	size, err := saved.Write(n.file.Path, about, sections)
	n.wrote, n.edits = time.Now(), edits

	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		n.counters.Failures++
		if omitted, ok := n.failures.Allow(time.Now(), renewAge); ok {
			n.log.Error("kubernetes: the snapshot cannot be written, and the one before stays: "+n.file.Path+": "+err.Error(), "omitted", omitted)
		}
		return
	}
	n.counters.Writes++
	n.counters.At, n.counters.Size = at, size
}

// count is the counts of this moment. The state is locked.
func (n *snapshots) count() SnapshotCounters {
	c := n.counters
	c.Refused, c.Serving = maps.Clone(c.Refused), n.state.showRestored
	n.countPeers(&c)
	return c
}

// sections are the objects of kinds.
func (s *state) sections(kinds zones.Kinds) (list []saved.Section) {
	for kind := zones.Kinds(1); kind != 0 && kind <= kinds; kind <<= 1 {
		if kinds&kind != 0 {
			list = append(list, saved.Section{Kind: kind, Objects: s.kinds[kind].all()})
		}
	}
	return list
}

// knownAt is until when the API server is known to have had the objects that are held.
func (s *state) knownAt() time.Time {
	var idle time.Duration
	for _, a := range s.alive {
		idle = max(idle, a.idle())
	}
	return time.Now().Add(-idle).Round(0)
}

// edits counts what has been set and dropped.
func (s *state) edits() (n uint64) {
	for _, c := range s.kinds {
		n += c.edits()
	}
	return n
}

// visible are the kinds whose objects may be answered from: those that were read, and those of a file that is served.
func (s *state) visible() zones.Kinds {
	if s.showRestored {
		return s.synced | s.restored
	}
	return s.synced
}

// holds reports whether objects of a kind are those of the file.
func (n *snapshots) holds(kind zones.Kinds) bool {
	if n == nil {
		return false
	}
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	return n.state.restored&^n.state.synced&kind != 0
}

// dropRestored forgets the objects of a file. No list has been taken before.
func (s *state) dropRestored() {
	for kind, c := range s.kinds {
		if s.synced&kind == 0 {
			for k := range c.keys() {
				c.drop(k)
			}
		}
	}
	s.restored, s.showRestored = 0, false
}

// publishStale says in which state the index is: with all that a list has replaced, or with objects of a file.
func (s *state) publishStale(tx *zones.Tx) {
	if s.restored&^s.synced == 0 {
		s.restored, s.showRestored = 0, false
	}
	shown := s.visible()
	tx.SetUnsynced(^shown)
	tx.SetSynced(shown)
	if !s.showRestored {
		s.stale = ""
	}
	tx.SetStale(s.stale)
}
