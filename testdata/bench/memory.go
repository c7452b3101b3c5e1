//go:build linux

package main

import (
	"fmt"
	"syscall"
	"time"
)

// settled is how long after its start a server's memory is read: a collector gives back in the background.
const settled = 5 * time.Second

// measureMemory starts each server anew in each round.
func (b *bench) measureMemory(r row) (results []result, err error) {
	w, err := b.world(r.worlds(b.size)[0])
	if err != nil {
		return nil, err
	}
	var chosen []*peer
	for i := range b.all {
		if p := &b.all[i]; b.takesPart(p, r) {
			chosen = append(chosen, p)
			for _, when := range r.moments() {
				results = append(results, result{Row: r.name + ", " + when, Server: b.label(p)})
			}
		}
	}
	for round := range b.rounds {
		for i, p := range chosen {
			samples, err := b.memoryRound(r, w, p, round)
			if err != nil {
				return results, fmt.Errorf("%s: %w", b.label(p), err)
			}
			for j, m := range samples {
				of := &results[i*len(samples)+j]
				of.Samples = append(of.Samples, m)
				b.say("%s, round %d of %d, %s: %.0f MB, peak %.0f MB", of.Row, round+1, b.rounds, of.Server, m.RSS, m.Peak)
			}
		}
	}
	return results, nil
}

// moments are the lines of a row, one for each sample of memoryRound.
func (r row) moments() []string {
	if r.relist {
		return []string{"while the API server restarts"}
	}
	return []string{"after sync", "under load"}
}

// memoryRound starts a server and measures it: after its start, and asked as fast as it answers. For a relist the API server is
// killed and started again meanwhile.
func (b *bench) memoryRound(r row, w *world, p *peer, round int) (samples []sample, err error) {
	s, err := b.startServer(w, p)
	if err != nil {
		return nil, err
	}
	defer s.process.stop()
	time.Sleep(settled)
	synced := sample{Ready: s.ready.Seconds()}
	synced.RSS, synced.Peak = resident(s.process.pid())
	if err := b.check(r, []*server{s}); err != nil {
		return nil, err
	}
	if err := forgetPeak(s.process.pid()); err != nil {
		return nil, err
	}
	file, err := b.questionFile(r, s, "", 0)
	if err != nil {
		return nil, err
	}
	if r.relist {
		m, err := b.relist(r, w, s, file)
		return []sample{m}, err
	}
	loaded, err := b.cost(r, s, file)
	loaded.RSS, loaded.Peak = resident(s.process.pid())
	return []sample{synced, loaded}, err
}

// relist kills the API server and starts it again while a server is asked.
func (b *bench) relist(r row, w *world, s *server, file string) (m sample, err error) {
	w.apiserver.cmd.Process.Signal(syscall.SIGKILL)
	<-w.apiserver.ended
	if err := b.startAPIServer(w); err != nil {
		return m, err
	}
	for end := time.Now().Add(2 * settled); time.Now().Before(end); {
		if m, err = b.cost(r, s, file); err != nil {
			return m, err
		}
	}
	// What has not read everything again would not know of a change.
	stop, err := b.startUpdates(r, []*server{s})
	if err != nil {
		return m, err
	}
	stop()
	m.RSS, m.Peak = resident(s.process.pid())
	return m, nil
}
