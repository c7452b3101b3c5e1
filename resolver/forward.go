package resolver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	forwardTimeout    = 5 * time.Second // for a query, over all its attempts
	attemptsEach      = 2               // attempts, on average, for each upstream of a query
	defaultConcurrent = 10000           // queries under way: a goroutine, a socket and some 8 KiB for each
	defaultMaxIdle    = 64
	defaultReadFor    = 2 * time.Second
	defaultExpire     = 10 * time.Second
)

// forwarder asks the upstreams of one `forward`. Equal questions under way are asked once, which also takes away an attacker's gain
// from many outstanding ones (RFC 5452 section 5). Any number of goroutines may use it.
type forwarder struct {
	options   Forward
	from      zoneSet
	except    zoneSet
	upstreams []*upstream
	limit     int64
	log       *slog.Logger
	turn      atomic.Uint32 // of round_robin

	ctx  context.Context // ends what is under way
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	flights map[query]*flight

	active    atomic.Int64
	rejected  atomic.Uint64
	broken    atomic.Uint64
	coalesced atomic.Uint64
}

// flight is one question under way, and those who wait for its answer.
type flight struct {
	done    chan struct{}
	message *message // set before done is closed
}

// newForwarder checks options and reads the TLS files they name.
func newForwarder(options Forward, log *slog.Logger) (*forwarder, error) {
	f := &forwarder{options: options, log: log, limit: defaultConcurrent, flights: make(map[query]*flight)}
	var err error
	if f.from, err = newZoneSet([]string{options.From}); err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	if f.except, err = newZoneSet(options.Except); err != nil {
		return nil, fmt.Errorf("forward: except: %w", err)
	}
	if len(options.To) == 0 {
		return nil, errors.New("forward: no upstreams")
	}
	secure, err := newTLS(&options)
	if err != nil {
		return nil, fmt.Errorf("forward: tls: %w", err)
	}
	if options.MaxConcurrent > 0 {
		f.limit = int64(options.MaxConcurrent)
	}
	for _, to := range options.To {
		u := &upstream{address: to.Address, readTimeout: positive(options.ReadTimeout, defaultReadFor)}
		u.idle.max, u.idle.expire = positive(options.MaxIdle, defaultMaxIdle), positive(options.Expire, defaultExpire)
		if to.TLS {
			u.tls = secure.Clone()
			if u.tls.ServerName == "" {
				u.tls.ServerName = to.Address.Addr().WithZone("").String()
			}
		}
		f.upstreams = append(f.upstreams, u)
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f, nil
}

func positive[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

// newTLS is the configuration that all TLS upstreams of a `forward` share.
func newTLS(o *Forward) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName, ClientSessionCache: tls.NewLRUClientSessionCache(len(o.To))}
	if o.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", o.CAFile)
		}
	}
	return config, nil
}

// takes reports whether name is forwarded here. The name that the option is for is, even if an exception covers it.
func (f *forwarder) takes(name *wire.QName) bool {
	_, labels, ok := f.from.match(name)
	return ok && (labels == name.Labels() || !f.except.contains(name))
}

// run closes connections that have been idle for too long. It returns when ctx has ended and with it all that was under way; after that
// nothing is asked any more.
func (f *forwarder) run(ctx context.Context) {
	ticker := time.NewTicker(positive(f.options.Expire, defaultExpire))
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-ticker.C:
			for _, u := range f.upstreams {
				u.idle.close(now)
			}
		}
	}
	f.stop()
	f.mu.Lock()
	f.stopped = true
	f.mu.Unlock()
	f.wg.Wait()
	for _, u := range f.upstreams {
		u.idle.stop()
	}
}

// exchange is what upstream says to q. It waits for as long as ctx and forwardTimeout allow, and always returns a message: when no
// upstream answered, one made here that says so.
func (f *forwarder) exchange(ctx context.Context, q query) *message {
	if f.active.Add(1) > f.limit {
		f.active.Add(-1)
		f.rejected.Add(1)
		m := failed(wire.Refused, wire.Other, "too many queries are being forwarded (forward option max_concurrent)")
		m.transient = true
		return m
	}
	defer f.active.Add(-1)
	if f.options.PreferUDP || f.options.ForceTCP {
		q.tcp = f.options.ForceTCP
	}
	flight := f.join(q)
	select {
	case <-flight.done:
		return flight.message
	case <-ctx.Done():
		return interrupted()
	}
}

// interrupted stands for an answer that was not waited for.
func interrupted() *message {
	m := failed(wire.ServerFailure, wire.Other, errStopped.Error())
	m.transient = true
	return m
}

// join is the flight of q: the one under way, or a new one.
func (f *forwarder) join(q query) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if under := f.flights[q]; under != nil {
		f.coalesced.Add(1)
		return under
	}
	started := &flight{done: make(chan struct{})}
	if f.stopped {
		started.message = interrupted()
		close(started.done)
		return started
	}
	f.flights[q] = started
	f.wg.Go(func() {
		ctx, cancel := context.WithTimeout(f.ctx, forwardTimeout)
		defer cancel()
		started.message = f.resolve(ctx, q)
		started.message.received = time.Now()
		f.mu.Lock()
		delete(f.flights, q)
		f.mu.Unlock()
		close(started.done)
	})
	return started
}

// resolve asks one upstream after the other until one answers. Those that are down are passed over; when all are, the checks are taken
// to be wrong and a random one is tried.
func (f *forwarder) resolve(ctx context.Context, q query) *message {
	order := f.order()
	if len(order) == 0 {
		return failed(wire.ServerFailure, wire.Other, "forwarding loop: what is forwarded comes back to this server (see its log)")
	}
	var last *message // in case nothing better comes
	var why error
	var asked *upstream
	down, tries := 0, 0
	for i := 0; tries < attemptsEach*len(order) && ctx.Err() == nil; i++ {
		if i%len(order) == 0 {
			down = 0
		}
		u := order[i%len(order)]
		if u.down(f.options.MaxFails) {
			if down++; down < len(order) {
				continue
			}
			f.broken.Add(1)
			if f.options.FailFast {
				return f.unhealthy(last)
			}
			u = order[rand.IntN(len(order))]
		}
		tries++
		m, err := u.ask(ctx, q, q.tcp)
		if err != nil {
			why, asked = err, u
			f.report(u, err)
			continue
		}
		if last = m; tries >= len(order) || !slices.Contains(f.options.Failover, uint16(m.rcode)) {
			return m
		}
	}
	switch {
	case last != nil:
		return last
	case f.ctx.Err() != nil || asked == nil:
		return interrupted()
	}
	info, text := asked.reason(why)
	return failed(wire.ServerFailure, info, fmt.Sprintf("upstream %s (%d upstreams, %d attempts)", text, len(order), tries))
}

func (f *forwarder) unhealthy(last *message) *message {
	if last != nil {
		return last
	}
	return failed(wire.ServerFailure, wire.NoReachableAuthority, "all upstreams are down by their health checks")
}

// order is the upstreams in the order of the policy, without those that lead back here.
func (f *forwarder) order() []*upstream {
	order := make([]*upstream, 0, len(f.upstreams))
	first := 0
	if f.options.Policy == RoundRobin {
		first = int(f.turn.Add(1)-1) % len(f.upstreams)
	}
	for i := range f.upstreams {
		if u := f.upstreams[(first+i)%len(f.upstreams)]; !u.looping.Load() {
			order = append(order, u)
		}
	}
	if f.options.Policy == Random {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	return order
}

// report counts and logs a query without a usable reply, and has the upstream checked.
func (f *forwarder) report(u *upstream, err error) {
	if f.ctx.Err() != nil {
		return
	}
	u.counts.queriesFailed.Add(1)
	if skipped, ok := u.quiet.speak(time.Now()); ok {
		f.log.Warn("forward: no answer from upstream", "upstream", u.address, "error", err, "more", skipped)
	}
	if !isLocal(err) && f.options.MaxFails > 0 && f.options.HealthCheck > 0 {
		f.suspect(u)
	}
}

// suspect checks u until it answers, unless that is being done already. Nothing is checked while all goes well.
func (f *forwarder) suspect(u *upstream) {
	if !u.checking.CompareAndSwap(false, true) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return
	}
	f.wg.Go(func() {
		defer u.checking.Store(false)
		for f.ctx.Err() == nil {
			if err := u.check(f.ctx, f.healthQuery(), f.options.ForceTCP); err == nil {
				if u.fails.Swap(0) > uint32(f.options.MaxFails) {
					f.log.Info("forward: upstream is up again", "upstream", u.address)
				}
				return
			}
			u.counts.checksFailed.Add(1)
			if int(u.fails.Add(1)) == f.options.MaxFails+1 {
				f.log.Warn("forward: upstream is down", "upstream", u.address)
			}
			sleep(f.ctx, f.options.HealthCheck)
		}
	})
}

// healthQuery asks for the name servers of the health check's domain, as CoreDNS does.
func (f *forwarder) healthQuery() query {
	name := "\x00"
	if parsed, err := wire.ParseName(f.options.HealthDomain); err == nil && f.options.HealthDomain != "" {
		name = string(parsed)
	}
	return query{name: name, typ: wire.TypeNS, rd: !f.options.HealthNoRec}
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// count is what f has done so far.
func (f *forwarder) count() ForwardCounts {
	counts := ForwardCounts{Rejected: f.rejected.Load(), Broken: f.broken.Load(), Coalesced: f.coalesced.Load(), Waiting: f.active.Load()}
	for _, u := range f.upstreams {
		counts.Upstreams = append(counts.Upstreams, u.count(f.options.MaxFails))
	}
	return counts
}
