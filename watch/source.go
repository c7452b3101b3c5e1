package watch

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/watch/manifests"
	"github.com/clusterdns/clusterdns/zones"
)

// Remark is the level of a log line about what is no mistake in manifests, and seldom meant.
const Remark = manifests.Remark

// Source keeps an index equal to a cluster: one of an API server or of a directory of manifests.
type Source struct {
	state *state
	run   func(context.Context)
}

// New checks options and prepares a source that writes index; nothing is read before Run. An error is about options
// that cannot work.
func New(options Options, index *zones.Index, log *slog.Logger) (*Source, error) {
	s, err := newState(options, index, log)
	if err != nil {
		return nil, err
	}
	if options.Manifests != "" {
		return &Source{s, manifests.NewFolder(options.Manifests, s.options.Selection, log, s.take).Run}, nil
	}
	api, err := newAPIServer(s)
	if err != nil {
		return nil, err
	}
	if s.snapshots == nil {
		return &Source{s, api.run}, nil
	}
	return &Source{s, func(ctx context.Context) {
		var saving sync.WaitGroup
		saving.Go(func() { s.snapshots.run(ctx) })
		if options.Snapshot.Peers.Listen != "" {
			saving.Go(func() { s.snapshots.give(ctx) })
		}
		api.run(ctx)
		saving.Wait()
	}}, nil
}

// Run reads and follows the source until ctx ends, and returns after all it started has ended. What changes is
// published at once, and given a serial at the next full second.
func (s *Source) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx) })
	var second, hosts <-chan time.Time
	publish := func() {
		before := s.state.index.Snapshot()
		s.state.publish(time.Now())
		s.state.logChanges(before)
		if wait := s.state.hostsWait(time.Now()); wait > 0 {
			hosts = time.After(wait)
		}
	}
	budget := time.NewTicker(retryBudget)
	defer budget.Stop()
	for {
		select {
		case <-budget.C:
			s.state.retry()
		case <-hosts:
			hosts = nil
			publish()
		case <-s.state.wake:
			publish()
			s.state.observe(time.Now())
			if second == nil && s.state.index.Snapshot().Changed() {
				now := time.Now()
				second = time.After(now.Truncate(time.Second).Add(time.Second).Sub(now))
			}
		case <-second:
			second = nil
			s.state.index.Number(time.Now())
		case <-ctx.Done():
			running.Wait()
			return
		}
	}
}

// Counters are the source's figures of this moment.
func (s *Source) Counters() Counters {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	c := s.state.counters
	c.Objects, c.OverBudget = s.state.counts(), s.state.overBudgets()
	c.Toplevel = s.state.toplevel.count()
	c.Requests = s.state.requests.read()
	for _, a := range s.state.alive {
		c.Stale = append(c.Stale, Stale{a.kind, a.idle()})
	}
	if n := s.state.snapshots; n != nil {
		counts := n.count()
		c.Snapshot = &counts
	}
	return c
}

// Snapshot is the time of the snapshot that is answered from while the API server is away, for people; "" when none is.
func (s *Source) Snapshot() string {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if !s.state.showRestored {
		return ""
	}
	return clock(s.state.snapshots.about.At)
}

// Trouble is why the API server cannot be read at the moment, and what to do: one line. It is "" while it is read, and
// of a folder of manifests.
func (s *Source) Trouble() string { return s.state.index.Trouble() }

// Name tells the source from others: the folder of its manifests, or the host of its API server.
func (s *Source) Name() string {
	return cmp.Or(s.state.options.Manifests, s.state.requests.read().Host)
}

// Listed receives when a whole list of a kind has been taken, and when the names of one have been made: at the start, and
// after an outage.
func (s *Source) Listed() <-chan struct{} { return s.state.listed }

// Wait returns when all of kinds have been read once and published, or with ctx's error when it ends before.
func (s *Source) Wait(ctx context.Context, kinds zones.Kinds) error {
	for {
		published := s.state.index.Changed()
		if s.state.index.Snapshot().Synced(kinds) {
			return nil
		}
		select {
		case <-published:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
