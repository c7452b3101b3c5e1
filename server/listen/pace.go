package listen

import "time"

const (
	// paceBatch is the queries that arrive together from a client that does not wait for each reply.
	paceBatch = 3
	// pacePause lets dozens of queries of such a client gather. A thread that is idle wakes 1 ms later at most.
	pacePause = 300 * time.Microsecond
	// paceTrial is the queries after which a way of reading is judged.
	paceTrial = 512
	// paceSilence between two batches is the client's own, and says nothing of the way of reading.
	paceSilence = 10 * time.Millisecond
	// paceFirst and paceLast are the trials after which the other way is tried again: rarely, for the worse of the two
	// can be several times slower.
	paceFirst, paceLast = 16, 1024
)

// pace decides whether a connection is read as soon as it can be, or after a short pause. A client that sends without
// waiting has a few queries read at a time, since reading is faster than sending, and each read and each write costs
// more than all answers of it: with pauses both carry more. A client that waits for replies is only held up by them. The
// two look alike here, so both ways are tried, and the one that more queries a second come by is kept. The zero value
// is ready for use, by one goroutine.
type pace struct {
	kept     bool // with pauses is the better way
	trying   bool // the other way is tried
	trial    paceCount
	rates    [2]float64 // queries a second by the last trial without pauses, and with them
	left     int        // trials until the other way is tried
	interval int        // what left began with
}

// paceCount is one trial.
type paceCount struct {
	last    time.Time
	elapsed time.Duration
	queries int
}

// pause is how long to wait at now before more is read, after a batch of so many queries.
func (p *pace) pause(now time.Time, queries int) time.Duration {
	if p.trial.add(now, queries); p.trial.queries >= paceTrial {
		p.judge()
	}
	if p.pausing() && queries >= paceBatch {
		return pacePause
	}
	return 0
}

func (p *pace) pausing() bool { return p.kept != p.trying }

func (t *paceCount) add(now time.Time, queries int) {
	if gap := now.Sub(t.last); gap < paceSilence {
		t.elapsed += gap
		t.queries += queries
	}
	t.last = now
}

// rate is the queries of each second.
func (t *paceCount) rate() float64 {
	return float64(t.queries) / max(t.elapsed, time.Microsecond).Seconds()
}

// judge ends a trial, and chooses the way of the next. Fewer reads and writes are worth an eighth of the rate.
func (p *pace) judge() {
	if rate := p.trial.rate(); p.pausing() {
		p.rates[1] = rate
	} else {
		p.rates[0] = rate
	}
	p.trial.queries, p.trial.elapsed = 0, 0
	switch better := p.rates[1] > p.rates[0]*7/8; {
	case !p.trying && p.left > 0:
		p.left--
	case !p.trying:
		p.trying = true
	case better == p.kept:
		p.trying = false
		p.interval = min(max(paceFirst, 2*p.interval), paceLast)
		p.left = p.interval
	default:
		p.kept, p.trying = better, false
		p.interval = paceFirst
		p.left = p.interval
	}
}
