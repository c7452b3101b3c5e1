package traffic

import "time"

// Report is the state of the tables at one moment.
type Report struct {
	Time    time.Time
	Since   time.Time // when counting began
	Every   uint32    // queries for each sample
	Seconds Series    // the last minutes
	Minutes Series    // the last hour
}

// Series is counts over time.
type Series struct {
	From   time.Time
	Step   time.Duration
	Counts []Counts // the last one is of the time that has just begun
}

// Report is the rates so far. Without counting they are zero.
func (t *Traffic) Report(now time.Time) Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{Time: now, Since: now, Every: 1}
	if t.tables != nil {
		r.Since, r.Every = t.tables.since, max(t.every.Load(), 1)
		r.Seconds, r.Minutes = t.tables.seconds.last(now), t.tables.minutes.last(now)
	}
	return r
}

// Most is the n keys that table has seen most, in the last hour or in this minute and the one before, and since when.
func (t *Traffic) Most(table Table, n int, hour bool, now time.Time) (list []Count, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables == nil {
		return nil, now
	}
	w := t.tables.top[table]
	if hour {
		return w.hour().most(n), latest(t.tables.since, now.Add(-time.Hour))
	}
	return w.now().most(n), latest(t.tables.since, now.Truncate(time.Minute).Add(-time.Minute))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Failures are the last questions without an answer, the newest first.
func (t *Traffic) Failures() []Failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables == nil {
		return nil
	}
	return recent(&t.tables.missing, &t.tables.failing)
}

// Fill is how full what grows with the traffic is, and what had no room.
type Fill struct {
	Keys     map[Table]int    // in all parts of the hour
	Evicted  map[Table]uint64 // keys that others have displaced
	Failures int
	Pushed   uint64 // failures that newer ones have displaced
	Lost     uint64 // samples
	Tails    int
	Omitted  uint64 // samples that tails have missed
}

// Fill is of this moment; nil while counting is off.
func (t *Traffic) Fill() *Fill {
	t.recording.Lock()
	lost := t.lost
	t.recording.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables == nil {
		return nil
	}
	f := &Fill{Keys: map[Table]int{}, Evicted: map[Table]uint64{}, Pushed: t.pushed, Lost: lost, Tails: len(t.tails), Omitted: t.omitted}
	for i, w := range t.tables.top {
		f.Keys[Table(i)], f.Evicted[Table(i)] = w.keys(), t.evicted[i]
	}
	f.Failures = len(t.tables.missing.list) + len(t.tables.failing.list)
	return f
}
