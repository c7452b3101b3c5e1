package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/watch/saved"
	"github.com/clusterdns/clusterdns/zones"
)

// Reading the file of a source at its start, and answering from it.

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
