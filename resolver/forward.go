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

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	forwardTimeout    = 5 * time.Second // for a query, over all its attempts
	attemptsEach      = 2               // attempts of a query for each upstream, on average
	defaultConcurrent = 10000           // queries under way, each with a goroutine, a socket and some 8 KiB
	defaultMaxIdle    = 64
)

// forwarder asks the upstreams of one `forward`. Any number of goroutines may use it.
type forwarder struct {
	options   Forward
	from      zones.Set
	except    zones.Set
	upstreams []*upstream
	limit     int64
	log       *slog.Logger
	turn      atomic.Uint32 // counts queries for round_robin

	ctx  context.Context // of all queries under way
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	flights map[flightKey]*flight

	active    atomic.Int64
	rejected  atomic.Uint64
	allDown   atomic.Uint64
	coalesced atomic.Uint64
}

// newForwarder compiles options. secrets is the content of the TLS files that options name.
func newForwarder(options Forward, secrets secrets, log *slog.Logger) (*forwarder, error) {
	f := &forwarder{options: options, log: log, limit: defaultConcurrent, flights: make(map[flightKey]*flight)}
	var err error
	if f.from, err = zones.NewSet([]string{options.From}); err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	if f.except, err = zones.NewSet(options.Except); err != nil {
		return nil, fmt.Errorf("forward: except: %w", err)
	}
	if len(options.To) == 0 {
		return nil, errors.New("forward: no upstreams")
	}
	secure, err := newTLS(&options, secrets)
	if err != nil {
		return nil, fmt.Errorf("forward: tls: %w", err)
	}
	if options.MaxConcurrent > 0 {
		f.limit = int64(options.MaxConcurrent)
	}
	for _, to := range options.To {
		u := &upstream{address: to.Address, readTimeout: positive(options.ReadTimeout, DefaultReadTimeout)}
		u.idle.max, u.idle.expire = positive(options.MaxIdle, defaultMaxIdle), positive(options.Expire, DefaultExpire)
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

// secrets is the content of the TLS files of a `forward`, in PEM.
type secrets struct{ Certificate, Key, Roots []byte }

// readSecrets reads the TLS files of o.
func readSecrets(o *Forward) (s secrets, err error) {
	for _, file := range []struct {
		name string
		to   *[]byte
	}{{o.CertFile, &s.Certificate}, {o.KeyFile, &s.Key}, {o.CAFile, &s.Roots}} {
		if file.name == "" {
			continue
		}
		if *file.to, err = os.ReadFile(file.name); err != nil {
			return s, err
		}
	}
	return s, nil
}

// newTLS makes the configuration that the TLS upstreams of a `forward` share.
func newTLS(o *Forward, secrets secrets) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         o.ServerName,
		ClientSessionCache: tls.NewLRUClientSessionCache(len(o.To)),
	}
	if o.CertFile != "" {
		certificate, err := tls.X509KeyPair(secrets.Certificate, secrets.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	if o.CAFile != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(secrets.Roots) {
			return nil, fmt.Errorf("%s has no certificate", o.CAFile)
		}
	}
	return config, nil
}

// takes reports whether f forwards name. It always takes the name that the `forward` is for, whatever `except` says.
func (f *forwarder) takes(name *wire.QName) bool {
	_, labels, ok := f.from.Match(name)
	return ok && (labels == name.Labels() || !f.except.Contains(name))
}

// run closes connections that have been idle for too long. It returns when ctx has ended and with it all queries under
// way; nothing is asked after that.
func (f *forwarder) run(ctx context.Context) {
	ticker := time.NewTicker(positive(f.options.Expire, DefaultExpire))
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

// admit takes one of the places for queries under way. When there is none left, it counts the query and reports false.
func (f *forwarder) admit() bool {
	if f.active.Add(1) <= f.limit {
		return true
	}
	f.active.Add(-1)
	f.rejected.Add(1)
	return false
}

// leave gives the place back.
func (f *forwarder) leave() { f.active.Add(-1) }

// rejection is the message for a query that was not admitted.
func rejection() *message {
	m := unanswered(wire.Refused, wire.Other, edeMaxConcurrent)
	m.transient = true
	return m
}

// exchange returns upstream's answer to q. It always returns a message: one made here if no upstream answered.
func (f *forwarder) exchange(ctx context.Context, q query) *message {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	if f.options.PreferUDP || f.options.ForceTCP {
		q.tcp = f.options.ForceTCP
	}
	return f.resolve(ctx, q)
}

// passesOn reports whether option next hands a question with the rcode of m to the next `forward`.
func (f *forwarder) passesOn(m *message) bool {
	return slices.Contains(f.options.Next, uint16(m.rcode))
}

// resolve asks one upstream after another until one answers. It skips those that are down. If all are, it assumes that
// the health checks are wrong and tries one at random.
func (f *forwarder) resolve(ctx context.Context, q query) *message {
	order := f.order()
	if len(order) == 0 {
		return unanswered(wire.ServerFailure, wire.Other, edeForwardLoop)
	}
	var last *message // the best answer so far
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
			f.allDown.Add(1)
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
	text = fmt.Sprintf("upstream %s (%d upstreams, %d attempts)", text, len(order), tries)
	return unanswered(wire.ServerFailure, info, text)
}

// unhealthy is the answer when all upstreams are down: last, if there is one.
func (f *forwarder) unhealthy(last *message) *message {
	if last != nil {
		return last
	}
	return unanswered(wire.ServerFailure, wire.NoReachableAuthority, edeUpstreamsDown)
}

// order is the upstreams in the order of the policy, without those that loop back to this server.
func (f *forwarder) order() []*upstream {
	order := make([]*upstream, 0, len(f.upstreams))
	first := 0
	if f.options.Policy == RoundRobin {
		first = int(f.turn.Add(1)-1) % len(f.upstreams)
	}
	for i := range f.upstreams {
		if u := f.upstreams[(first+i)%len(f.upstreams)]; u.loops.Load() == 0 {
			order = append(order, u)
		}
	}
	if f.options.Policy == Random {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	return order
}

// report counts and logs a query that got no usable reply, and starts health checks of the upstream.
func (f *forwarder) report(u *upstream, err error) {
	if f.ctx.Err() != nil {
		return
	}
	u.counts.queriesFailed.Add(1)
	if skipped, ok := u.limiter.Allow(time.Now(), logPause); ok {
		f.log.Warn("forward: no answer from upstream", "upstream", u.address, "error", err, "more", skipped)
	}
	if !isLocal(err) && f.options.MaxFails > 0 && f.options.HealthCheck > 0 {
		f.suspect(u)
	}
}

// suspect checks u until it answers, unless checks are running already. There are no checks while all is well.
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
