package traffic

import (
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

// Rcodes is the number of rcodes that are told apart: those up to REFUSED, and one for all others.
const Rcodes = 7

// Sources is the number of sources that are told apart.
const Sources = 32

// LatencyBounds are the bounds of latencies in nanoseconds: from 4 µs to 17 s, each twice the one before.
var LatencyBounds = observe.Doubling(int64(4*time.Microsecond), 23)

// Counts are the queries of some time.
type Counts struct {
	Rcodes  [Rcodes]uint64
	Sources [Sources]uint64
	Took    observe.Histogram // by LatencyBounds
}

// Queries is their number.
func (c *Counts) Queries() (n uint64) {
	for _, k := range c.Rcodes {
		n += k
	}
	return n
}

// NXDomains is how many of them are for names that do not exist.
func (c *Counts) NXDomains() uint64 { return c.Rcodes[nxdomain] }

// Failed is how many of them have an rcode that is neither NOERROR nor NXDOMAIN.
func (c *Counts) Failed() uint64 { return c.Queries() - c.Rcodes[noError] - c.Rcodes[nxdomain] }

// Add adds the queries of o.
func (c *Counts) Add(o *Counts) {
	for i, n := range o.Rcodes {
		c.Rcodes[i] += n
	}
	for i, n := range o.Sources {
		c.Sources[i] += n
	}
	c.Took.Add(&o.Took)
}

// since is what c has that an earlier state of the same counters had not.
func (c *Counts) since(o *Counts) Counts {
	d := *c
	for i, n := range o.Rcodes {
		d.Rcodes[i] -= n
	}
	for i, n := range o.Sources {
		d.Sources[i] -= n
	}
	for i, n := range o.Took.Counts {
		d.Took.Counts[i] -= n
	}
	d.Took.Sum -= o.Took.Sum
	return d
}

// Quantile is the latency that the share q of the queries did not exceed, 0 without queries.
func (c *Counts) Quantile(q float64) time.Duration { return Quantile(&c.Took, LatencyBounds, q) }

// Quantile is the time that the share q of those in h did not exceed, 0 without any. Between two bounds, which are in
// nanoseconds, it is interpolated.
func Quantile(h *observe.Histogram, bounds []int64, q float64) time.Duration {
	rank := q * float64(h.Total())
	below := float64(0)
	for i, n := range h.Counts {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		if i >= len(bounds) {
			return time.Duration(bounds[len(bounds)-1])
		}
		low := int64(0)
		if i > 0 {
			low = bounds[i-1]
		}
		return time.Duration(low + int64((rank-below)/float64(n)*float64(bounds[i]-low)))
	}
	return 0
}

// series is the counts of the last slots of equal length.
type series struct {
	span  time.Duration
	slots []slot
}

type slot struct {
	number int64 // the time divided by the span
	counts Counts
}

func newSeries(span time.Duration, slots int) *series {
	return &series{span, make([]slot, slots)}
}

func (s *series) add(now time.Time, c *Counts) {
	number := now.UnixNano() / int64(s.span)
	at := &s.slots[number%int64(len(s.slots))]
	if at.number != number {
		*at = slot{number: number}
	}
	at.counts.Add(c)
}

// last is the counts of all slots up to the one of now, the oldest first.
func (s *series) last(now time.Time) Series {
	number := now.UnixNano()/int64(s.span) - int64(len(s.slots)) + 1
	all := Series{From: time.Unix(0, number*int64(s.span)), Step: s.span}
	for range s.slots {
		c := Counts{}
		if at := &s.slots[number%int64(len(s.slots))]; at.number == number {
			c = at.counts
		}
		all.Counts = append(all.Counts, c)
		number++
	}
	return all
}
