package traffic

import (
	"math/rand/v2"
	"sync"
	"time"
)

// maxSamples is how many samples a Recorder keeps until Run takes them, 0.5 MB; more are left out.
const maxSamples = 1024

// Recorder takes the queries of one worker, or of several that have few.
type Recorder struct {
	traffic *Traffic

	mu      sync.Mutex
	counts  Counts
	samples []Sample
	lost    uint64 // samples for which there was no room
}

// End says that no more queries come. What has been counted stays.
func (r *Recorder) End() {
	if r != nil {
		r.traffic.end(r)
	}
}

// add takes a batch of queries that took elapsed.
func (r *Recorder) add(b *Batch, elapsed time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range b.queries {
		r.counts.Rcodes[q.rcode]++
		r.counts.Sources[q.source]++
	}
	r.counts.Took.ObserveMany(LatencyBounds, int64(elapsed), uint64(len(b.queries)))
	room := min(len(b.samples), maxSamples-len(r.samples))
	r.samples = append(r.samples, b.samples[:room]...)
	r.lost += uint64(len(b.samples) - room)
}

// take adds the counts so far to sum, and what was lost to lost, appends the samples to list, and forgets all but the
// counts.
func (r *Recorder) take(sum *Counts, lost *uint64, list []Sample) []Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum.Add(&r.counts)
	list = append(list, r.samples...)
	r.samples = r.samples[:0]
	*lost += r.lost
	r.lost = 0
	return list
}

// Batch collects what is noted of queries until it is known how long they took. It is used again for the next batch.
type Batch struct {
	Recorder *Recorder // where it goes; nil for nowhere
	on       bool
	queries  []query
	samples  []Sample
	ordinary sampler
	failing  sampler // of queries without an answer: few of them may be among many others
}

// query is what is counted of each query.
type query struct{ rcode, source uint8 }

// Begin starts a batch.
func (b *Batch) Begin() {
	if b.on = b.Recorder != nil && b.Recorder.traffic.on.Load(); b.on {
		b.queries, b.samples = b.queries[:0], b.samples[:0]
		b.ordinary.set(b.Recorder.traffic.every.Load())
		b.failing.set(b.Recorder.traffic.everyFailing.Load())
	}
}

// On reports whether queries of the batch are counted.
func (b *Batch) On() bool { return b.on }

// Count counts one query. If it is one of the sample, it returns what the caller fills in: all but At, Took and Weight.
func (b *Batch) Count(rcode, source uint8) *Sample {
	b.queries = append(b.queries, query{min(rcode, Rcodes-1), min(source, Sources-1)})
	s := &b.ordinary
	if rcode != noError && rcode != nxdomain {
		s = &b.failing
	}
	if s.pass > 0 {
		s.pass--
		return nil
	}
	s.next()
	b.samples = append(b.samples, Sample{Weight: s.every, Rcode: uint16(rcode), Source: source})
	return &b.samples[len(b.samples)-1]
}

// sampler chooses one query of every so many.
type sampler struct {
	every uint32
	pass  uint32 // queries before the next one
}

// set takes a rate. After a flood the next sample must not be as far away as it was in the flood.
func (s *sampler) set(every uint32) {
	if every = max(every, 1); every != s.every {
		s.every = every
		s.next()
	}
}

// next passes over a random number of queries, every-1 on average: what comes in a fixed order, as A and AAAA do, must
// not meet the same count each time.
func (s *sampler) next() {
	if s.pass = 0; s.every > 1 {
		s.pass = rand.Uint32N(2*s.every - 1)
	}
}

// End passes the batch on. Its queries took elapsed, until now.
func (b *Batch) End(now time.Time, elapsed time.Duration) {
	if !b.on || len(b.queries) == 0 {
		return
	}
	for i := range b.samples {
		b.samples[i].At, b.samples[i].Took = now, elapsed
	}
	b.Recorder.add(b, elapsed)
}
