package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	// diskPatience is how long the lists of a start wait for the file, and a reload and the end of the program for one that is
	// being written: a disk that does not answer must hold up none of them.
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
	turn     *sync.Mutex   // held while a file is put at the path; a source has that of the one it replaces
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
	wrote    time.Time // when the last file was written
	edits    uint64    // of its objects
}

func newSnapshots(s *state, config *rest.Config, ask func(context.Context) (string, error)) *snapshots {
	n := &snapshots{state: s, file: s.options.Snapshot, config: config, log: s.log, uid: identity{ask: ask},
		read: make(chan struct{}), away: make(chan struct{}), present: make(chan struct{}), edited: make(chan struct{}, 1),
		owned: make(chan struct{}), turn: &sync.Mutex{},
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
			if next == nil && n.complete() {
				next = time.After(n.wait())
			}
		case <-next:
			next = nil
			// A file of a peer that is put there must not be put in the place of a later one, and what the disk has held up may
			// have been written just now.
			if wait := n.wait(); search.taken != nil || wait > saveSoon {
				next = time.After(wait)
				continue
			}
			n.write(false)
		case <-renew.C:
			if search.taken == nil {
				n.write(true)
			}
		case <-ctx.Done():
			if search.taken == nil {
				n.write(true)
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

// rowOf is the first row of a kind.
func rowOf(kind zones.Kinds) *object.Resource {
	at := slices.IndexFunc(object.Resources, func(r object.Resource) bool { return r.Kind == kind })
	return &object.Resources[at]
}

// count is the counts of this moment. The state is locked.
func (n *snapshots) count() SnapshotCounters {
	c := n.counters
	c.Refused, c.Serving = maps.Clone(c.Refused), n.state.showRestored
	n.countPeers(&c)
	return c
}
