package traffic

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds and times of the tables.
const (
	topSize = 512 // keys of each summary

	seconds = 120 // slots of the series
	minutes = 60

	takeEvery = 200 * time.Millisecond // how often samples are taken from the recorders

	// wanted is how many samples are taken in a second; fewer would make a quiet server's tables wrong, and more would
	// cost a busy one CPU. Queries without an answer have a share of their own.
	wanted        = 1000
	wantedFailing = 100
)

// Table is one of the tables of what is seen most.
type Table int

// The tables. Keys are names in wire form, or addresses of clients as 16 octets.
const (
	Names      Table = iota // names that are asked for
	Nxdomains               // names that do not exist, with the reason
	Clients                 // addresses that ask
	Searches                // clients whose search lists make names that do not exist
	tableCount = iota
)

// String is the name of the table.
func (t Table) String() string {
	return [tableCount]string{"names", "nxdomains", "clients", "searches"}[t]
}

// Traffic counts the queries of the whole program, while it is on.
type Traffic struct {
	on           atomic.Bool
	every        atomic.Uint32 // queries for each sample
	everyFailing atomic.Uint32
	changed      chan struct{}

	recording sync.Mutex // guards what follows
	recorders []*Recorder
	gone      Counts   // of recorders that have ended
	left      []Sample // of these, not yet taken, at most maxSamples
	lost      uint64   // samples for which there was no room

	mu      sync.Mutex // guards what follows
	tables  *tables    // nil while counting is off
	tails   []*Tail
	omitted uint64             // samples that tails have missed
	evicted [tableCount]uint64 // keys of tables
	pushed  uint64             // failures that newer ones have displaced
}

// New is a Traffic that is off.
func New() *Traffic { return &Traffic{changed: make(chan struct{}, 1)} }

// Recorder makes a recorder for one worker; nil for no Traffic.
func (t *Traffic) Recorder() *Recorder {
	if t == nil {
		return nil
	}
	r := &Recorder{traffic: t}
	t.recording.Lock()
	defer t.recording.Unlock()
	t.recorders = append(t.recorders, r)
	return r
}

// end takes what r has, and forgets r. It does so itself since nobody else may while counting is off.
func (t *Traffic) end(r *Recorder) {
	t.recording.Lock()
	defer t.recording.Unlock()
	at := slices.Index(t.recorders, r)
	if at < 0 {
		return
	}
	t.recorders = slices.Delete(t.recorders, at, at+1)
	left := r.take(&t.gone, &t.lost, t.left)
	t.lost += uint64(max(len(left)-maxSamples, 0))
	t.left = left[:min(len(left), maxSamples)]
}

// Set begins or ends the counting. It begins with empty tables, and what is answered from then on stands in them.
func (t *Traffic) Set(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.on.Load() == on {
		return
	}
	if on {
		t.open(time.Now())
	}
	t.on.Store(on)
	if !on {
		t.close()
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Run moves what is counted into the tables, until ctx ends.
func (t *Traffic) Run(ctx context.Context) {
	defer t.Set(false)
	for {
		if t.on.Load() {
			t.count(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.changed:
		}
	}
}

// count runs while counting is on.
func (t *Traffic) count(ctx context.Context) {
	ticks := time.NewTicker(takeEvery)
	defer ticks.Stop()
	for t.on.Load() {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			t.take(now)
		}
	}
}

// open makes empty tables. The caller holds mu.
func (t *Traffic) open(now time.Time) {
	before, _ := t.collect(nil) // samples of another time are left out
	t.every.Store(1)
	t.everyFailing.Store(1)
	t.tables = t.newTables(now, before)
}

// close drops the tables, and ends those who follow. The caller holds mu.
func (t *Traffic) close() {
	t.tables = nil
	for _, tail := range t.tails {
		close(tail.c)
	}
	t.tails = nil
}

// collect is the counts of all recorders, and their samples in the place of empty.
func (t *Traffic) collect(empty []Sample) (sum Counts, samples []Sample) {
	t.recording.Lock()
	defer t.recording.Unlock()
	samples = append(empty[:0], t.left...)
	t.left = nil
	sum = t.gone
	for _, r := range t.recorders {
		samples = r.take(&sum, &t.lost, samples)
	}
	return sum, samples
}

// take moves what the recorders have into the tables.
func (t *Traffic) take(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables == nil { // Set has ended them meanwhile
		return
	}
	sum, samples := t.collect(t.tables.samples)
	t.tables.samples = samples
	for i := range samples {
		t.tables.see(&samples[i])
	}
	t.pass(now, samples)
	t.tables.turn(now)
	queries, failed := t.tables.sum(now, &sum)
	t.every.Store(rate(queries, wanted))
	t.everyFailing.Store(rate(failed, wantedFailing))
}

// rate is how many queries one sample stands for, if so many come between two times that samples are taken.
func rate(queries, inSecond uint64) uint32 {
	wanted := inSecond * uint64(takeEvery) / uint64(time.Second)
	return uint32((queries + wanted - 1) / wanted)
}

// tables are everything that is known.
type tables struct {
	since   time.Time
	total   Counts // when samples were last taken
	seconds *series
	minutes *series
	minute  int64 // number of the current one
	top     [tableCount]*window
	missing failures // NXDOMAIN
	failing failures // the rest
	samples []Sample // scratch

	waiting []Sample  // that tails get when the next ones are taken
	taken   time.Time // when samples were last taken
}

func (t *Traffic) newTables(now time.Time, before Counts) *tables {
	all := &tables{since: now, total: before, minute: now.Unix() / 60,
		seconds: newSeries(time.Second, seconds), minutes: newSeries(time.Minute, minutes)}
	for i := range all.top {
		all.top[i] = newWindow(topSize, &t.evicted[i])
	}
	all.missing.evicted, all.failing.evicted = &t.pushed, &t.pushed
	return all
}

// see counts a sample.
func (t *tables) see(s *Sample) {
	n := uint64(s.Weight)
	address := s.Client.Addr().As16()
	client := address[:]
	t.top[Names].add(s.Name(), n, nil)
	t.top[Clients].add(client, n, nil)
	if s.Rcode == nxdomain {
		t.top[Nxdomains].add(s.Name(), n, s.Reason())
	}
	if s.Searched {
		t.top[Searches].add(client, n, s.Name())
	}
	if s.failed() {
		list := &t.failing
		if s.Rcode == nxdomain {
			list = &t.missing
		}
		list.add(s)
	}
}

// turn ends the minutes that are over.
func (t *tables) turn(now time.Time) {
	minute := now.Unix() / 60
	for ; t.minute < minute && minute-t.minute < 2*minutes; t.minute++ {
		for _, w := range t.top {
			w.turn((t.minute+1)%partMinutes == 0)
		}
	}
	t.minute = minute
}

// sum adds to the series what has come since the last call. It returns how many queries there were, and how many of
// them failed.
func (t *tables) sum(now time.Time, sum *Counts) (queries, failed uint64) {
	last := sum.since(&t.total)
	t.total = *sum
	t.seconds.add(now, &last)
	t.minutes.add(now, &last)
	return last.Queries(), last.Failed()
}
