//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/miekg/dns"
)

// result is a line of the table: what a server took in a row, in each round.
type result struct {
	Row     string
	Server  string
	Limit   int // this is the echo, so many of which are the limit of the row; else 0
	Samples []sample
}

// sample is what one round measured. What was not measured is 0.
type sample struct {
	CPU         float64 // microseconds for each answered query
	Switches    float64 // of context, for each answered query
	SystemCalls float64 // for each answered query; with -strace alone
	Rate        float64 // answers a second, in what CPU was measured
	Lost        int     // not answered, or with SERVFAIL or REFUSED
	LatencyRate float64 // queries a second in what the latency was measured
	P50         float64 // microseconds
	P99         float64
	P999        float64
	Late        float64 // how late the generator itself was, microseconds, 99 % of the time
	RSS         float64 // megabytes afterwards
	Peak        float64 // the most in the round
	Ready       float64 // seconds from the start until ready
}

// measure measures a row: all servers once, then all of them again, as often as there are rounds.
func (b *bench) measure(r row) ([]result, error) {
	if r.part == memory {
		return b.measureMemory(r)
	}
	servers, err := b.servers(r)
	if err != nil {
		return nil, err
	}
	if err := b.check(r, servers); err != nil {
		return nil, err
	}
	if r.part == updates {
		stop, err := b.startUpdates(r, servers)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	results := make([]result, len(servers))
	for i, s := range servers {
		results[i] = b.newResult(r, s)
	}
	for round := range b.rounds {
		for i, s := range servers {
			m, err := b.round(r, s, round)
			if err != nil {
				return results, fmt.Errorf("%s: %w", results[i].Server, err)
			}
			results[i].Samples = append(results[i].Samples, m)
			b.say("%s, round %d of %d, %s: %.1f us, p99 %.0f us, %d lost", r.name, round+1, b.rounds, results[i].Server, m.CPU, m.P99, m.Lost)
		}
	}
	return results, nil
}

func (b *bench) newResult(r row, s *server) result {
	of := result{Row: r.name, Server: b.label(s.peer)}
	if s.peer.name == "echo" {
		of.Limit = r.echoes
	}
	if len(r.sizes) > 1 && of.Limit == 0 {
		of.Server += fmt.Sprintf(", %d", s.world.size)
	}
	return of
}

// servers starts what takes part in a row.
func (b *bench) servers(r row) (list []*server, err error) {
	for _, key := range r.worlds(b.size) {
		w, err := b.world(key)
		if err != nil {
			return nil, err
		}
		if err := b.addWide(w); err != nil {
			return nil, err
		}
		for i := range b.all {
			p := &b.all[i]
			if !b.takesPart(p, r) || p.name == "echo" && len(list) > 0 { // one echo is enough for several clusters
				continue
			}
			s, err := b.server(w, p)
			if err == nil {
				err = b.awaitWide(s)
			}
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// mostAnswers is more than any server answers in a second, of names that have to be unique.
const mostAnswers = 100_000

// round measures a server once: CPU time by dnsperf, then the latency at the row's rate, or at half of what was answered.
func (b *bench) round(r row, s *server, round int) (m sample, err error) {
	if err := b.ctx.Err(); err != nil {
		return m, err
	}
	if err := b.warm(r, s); err != nil {
		return m, err
	}
	if err := forgetPeak(s.process.pid()); err != nil {
		return m, err
	}
	rate := float64(r.rate)
	if rate == 0 {
		rate = mostAnswers
	}
	file, err := b.questionFile(r, s, fmt.Sprintf("%d", round), int(rate*b.seconds.Seconds()*1.1))
	if err != nil {
		return m, err
	}
	if m, err = b.cost(r, s, file); err != nil || b.trace {
		return m, err
	}
	if err := b.latency(r, s, round, &m); err != nil {
		return m, err
	}
	m.RSS, m.Peak = resident(s.process.pid())
	return m, nil
}

// warm asks for what is to be in the cache.
func (b *bench) warm(r row, s *server) error {
	if !r.list.warm {
		return nil
	}
	list, err := r.list.make(b, s.world, "", 0)
	if err != nil {
		return err
	}
	for _, q := range list {
		if _, err := ask(s, q.message(r.edns), false); err != nil {
			return err
		}
	}
	return nil
}

// questionFile writes the questions of a round. All servers get the same ones, each once.
func (b *bench) questionFile(r row, s *server, seed string, count int) (string, error) {
	file := filepath.Join(b.dir, "questions")
	list, err := r.list.make(b, s.world, seed, count)
	if err != nil {
		return "", err
	}
	return file, writeQuestions(file, list)
}

// cost is the CPU time for each query.
func (b *bench) cost(r row, s *server, file string) (m sample, err error) {
	count := func() (int, error) { return 0, nil }
	if b.trace {
		if count, err = b.traceCalls(s.process); err != nil {
			return m, err
		}
	}
	before, err := used(s.process.pid())
	if err != nil {
		return m, err
	}
	l, err := b.dnsperf(r, s, file, b.seconds.Seconds())
	if err != nil {
		return m, err
	}
	after, err := used(s.process.pid())
	if err != nil {
		return m, err
	}
	calls, err := count()
	queries := float64(max(l.completed, 1))
	if b.trace { // the times are those of strace
		return sample{SystemCalls: float64(calls) / queries, Rate: l.rate, Lost: l.lost + l.failed}, err
	}
	return sample{
		CPU:      float64(after.cpu-before.cpu) / float64(time.Microsecond) / queries,
		Switches: float64(after.switches-before.switches) / queries,
		Rate:     l.rate,
		Lost:     l.lost + l.failed,
	}, err
}

// latency asks by the open-loop generator.
func (b *bench) latency(r row, s *server, round int, m *sample) error {
	rate := float64(r.rate)
	if rate == 0 {
		rate = m.Rate / 2
	}
	if rate < 1 {
		return nil
	}
	messages, err := b.messages(r, s, fmt.Sprintf("%d-open", round), int(rate*b.seconds.Seconds()*1.1))
	if err != nil {
		return err
	}
	l, err := openLoop(netip.MustParseAddrPort(s.address()), r.sockets, r.tcp, messages, rate, b.seconds, uint64(round))
	if err != nil {
		return err
	}
	microseconds := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	m.LatencyRate, m.P50, m.P99, m.P999, m.Late = rate, microseconds(l.p50), microseconds(l.p99), microseconds(l.p999), microseconds(l.late)
	m.Lost += l.lost
	return nil
}

// messages is the questions as queries.
func (b *bench) messages(r row, s *server, seed string, count int) (packed [][]byte, err error) {
	list, err := r.list.make(b, s.world, seed, count)
	if err != nil {
		return nil, err
	}
	for _, q := range list[:min(count+1, len(list))] {
		m := q.message(r.edns)
		m.Id = dns.Id()
		data, err := m.Pack()
		if err != nil {
			return nil, err
		}
		packed = append(packed, data)
	}
	return packed, nil
}
