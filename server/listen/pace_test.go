package listen

import (
	"testing"
	"time"
)

// pacedClient is how a client sends: the queries of a batch, and the time from one batch to the next, without and with a
// pause in between.
type pacedClient struct {
	batch, pausedBatch int
	cycle, pausedCycle time.Duration
}

// drive lets the client send for so many trials, and reports the part of its batches that were followed by a pause.
func (c pacedClient) drive(p *pace, now *time.Time, trials int) float64 {
	paused, batches := 0, 0
	for queries, pause := 0, time.Duration(0); queries < trials*paceTrial; batches++ {
		batch, cycle := c.batch, c.cycle
		if pause > 0 {
			batch, cycle = c.pausedBatch, c.pausedCycle
			paused++
		}
		*now = now.Add(cycle)
		queries += batch
		pause = p.pause(*now, batch)
	}
	return float64(paused) / float64(batches)
}

// TestPace: pauses are for clients that send all the same, and hold up no other.
func TestPace(t *testing.T) {
	eager := pacedClient{4, 20, 40 * time.Microsecond, 200 * time.Microsecond}   // sends as fast as it can
	waiting := pacedClient{16, 16, 100 * time.Microsecond, 1 * time.Millisecond} // has 16 queries under way at most
	single := pacedClient{1, 1, 40 * time.Microsecond, 40 * time.Microsecond}
	var p pace
	now := time.Unix(0, 0)
	if part := single.drive(&p, &now, 100); part != 0 {
		t.Errorf("a client that sends one query at a time: %.2f of its batches are followed by a pause", part)
	}
	if eager.drive(&p, &now, 100); eager.drive(&p, &now, 100) < 0.9 {
		t.Error("a client that does not wait is read without pauses")
	}
	waiting.drive(&p, &now, 3000) // the way is tried again by then
	if part := waiting.drive(&p, &now, 2000); part > 0.01 {
		t.Errorf("a client that waits for replies: %.3f of its batches are followed by a pause", part)
	}
	p.pause(now.Add(time.Hour), 1)
	if now = now.Add(time.Hour); p.trial.elapsed > time.Second {
		t.Error("silence of the client counts as time of a trial")
	}
}
