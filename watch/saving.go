package watch

import (
	"errors"
	"time"

	"github.com/clusterdns/clusterdns/watch/saved"
	"github.com/clusterdns/clusterdns/zones"
)

// Writing the file of a source.

// published takes note that something was published.
func (n *snapshots) published() {
	select {
	case n.edited <- struct{}{}:
	default:
	}
}

// Own says that answers come from the source: it may write its snapshot file, and ask peers for theirs. A source that a
// reload starts has the file of the one that it may replace, and the reload may still fail. What the disk still holds up of
// one that it has replaced is put there first.
func (s *Source) Own(replaced ...*Source) {
	n := s.state.snapshots
	if n == nil {
		return
	}
	n.owning.Do(func() {
		for _, r := range replaced {
			if before := r.state.snapshots; before != nil && before.file.Path == n.file.Path {
				n.turn = before.turn
			}
		}
		close(n.owned)
	})
}

// Disown says that another source answers in the place of this one, which writes nothing any more.
func (s *Source) Disown() {
	if n := s.state.snapshots; n != nil {
		n.state.mu.Lock()
		n.disowned = true
		n.state.mu.Unlock()
	}
}

// complete reports whether all that the source holds was read from the API server.
func (n *snapshots) complete() bool {
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	return n.state.synced&n.kinds == n.kinds
}

// place has a file put at the path, and reports whether the disk has done it in time. None is put there until it has, by this
// source or one that replaces it: a rename that the disk held up would put the older file in the place of the newer one. Then it
// fails with errHeldUp, and does not call put. The file is this source's.
func (n *snapshots) place(put func() error) (done bool, err error) {
	if !n.turn.TryLock() {
		return false, errHeldUp
	}
	var failed error // of put, which may go on when it is too late
	if done = inTime(func() {
		defer n.turn.Unlock()
		failed = put()
	}); done {
		err = failed
	}
	return done, err
}

var errHeldUp = errors.New("the disk does not answer for the one before")

// write writes the file if it is this source's and there is reason to, and later again while the disk holds up a file.
func (n *snapshots) write(renew bool) {
	select {
	case <-n.owned:
	default:
		return
	}
	if done, _ := n.place(func() error { n.save(renew); return nil }); !done {
		n.published()
	}
}

// save writes the file if all has been read from the API server and has changed since, or with renew if the file would be of
// a later time. The state is locked while pointers to its objects are copied, and no longer: the objects never change.
func (n *snapshots) save(renew bool) {
	s := n.state
	s.mu.Lock()
	at, edits := s.knownAt(), s.edits()
	old := edits == n.edits && (!renew || !at.After(n.counters.At))
	if n.disowned || s.synced&n.kinds != n.kinds || !n.wrote.IsZero() && old {
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

	s.mu.Lock()
	defer s.mu.Unlock()
	n.wrote, n.edits = time.Now(), edits
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

// wait is how long the next file is not to be written yet.
func (n *snapshots) wait() time.Duration {
	n.state.mu.Lock()
	defer n.state.mu.Unlock()
	return max(time.Until(n.wrote.Add(saveInterval)), saveSoon)
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
