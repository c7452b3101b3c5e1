package resolver

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver/datagram"
	"github.com/clusterdns/clusterdns/resolver/stream"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	forwardTimeout = 5 * time.Second       // for a query, over all its attempts
	attemptsEach   = 2                     // attempts of a query for each upstream, on average
	roundPause     = 20 * time.Millisecond // between rounds without a limit of attempts: a closed port answers at once
	defaultMaxIdle = 64

	// streamStall is for how long nothing has come for the oldest query of a connection when other queries go elsewhere: a
	// server that answers in order may be held up by one slow name.
	streamStall = 100 * time.Millisecond
)

// forwarder asks the upstreams of one `forward`. Any number of goroutines may use it.
type forwarder struct {
	options Forward
	from    zones.Set
	except  zones.Set
	origins []*origin
	members atomic.Pointer[[]*upstream]
	ready   chan struct{} // closed when there is an upstream, or none has been found
	secure  *tls.Config
	log     *slog.Logger
	panics  observe.Panics
	engine  *datagram.Engine // asks over UDP
	streams *stream.Engine   // asks over TCP and TLS
	turn    atomic.Uint32    // counts queries for round_robin

	ctx  context.Context // of all queries under way
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	stopped bool
	flights map[flightKey]*flight
	places  places
	silence silence
	silent  uint64 // questions that failed at once because their domain is silent

	allDown       atomic.Uint64
	coalesced     atomic.Uint64
	lookupsFailed atomic.Uint64 // of the names of upstreams
	lookupLimiter observe.Limiter
}

// newForwarder compiles options. secrets is the content of the TLS files that options name, asked counts what all
// forwarders ask.
func newForwarder(options Forward, secrets secrets, asked *asked, log *slog.Logger) (*forwarder, error) {
	f := &forwarder{
		options: options, log: log, flights: make(map[flightKey]*flight), ready: make(chan struct{}),
		engine: &asked.engine, streams: &asked.streams,
	}
	f.places = newPlaces(positive(options.MaxConcurrent, MaxAsked), asked)
	zone, err := parseName(options.From)
	if err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	f.silence = newSilence(zone.Labels())
	if f.from, err = zones.NewSet([]string{options.From}); err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	if f.except, err = zones.NewSet(options.Except); err != nil {
		return nil, fmt.Errorf("forward: except: %w", err)
	}
	if len(options.To) == 0 {
		return nil, errors.New("forward: no upstreams")
	}
	if f.secure, err = newTLS(&options, secrets); err != nil {
		return nil, fmt.Errorf("forward: tls: %w", err)
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.origins = newOrigins(options.To)
	f.gather()
	return f, nil
}

// end closes what u has open: it is not asked any more.
func (f *forwarder) end(u *upstream) {
	u.close()
	f.engine.Close(&u.peer)
	f.streams.Close(&u.streams)
}

// newUpstream is the server at an address that o stands for.
func (f *forwarder) newUpstream(o *origin, address netip.AddrPort) *upstream {
	u := &upstream{
		address: address, transport: o.Transport, source: f.options.Source, readTimeout: f.readTimeout(),
	}
	u.peer.Address, u.peer.Source = address, f.options.Source
	u.idle.max, u.idle.expire = positive(f.options.MaxIdle, defaultMaxIdle), positive(f.options.Expire, DefaultExpire)
	u.idle.maxAge, u.dohGET = f.options.MaxAge, f.options.DoHGet
	if o.Transport.secure() {
		u.serverName = cmp.Or(o.ServerName, f.options.ServerName, strings.TrimSuffix(o.Host, "."),
			address.Addr().WithZone("").String())
		u.tls = f.secure.Clone()
		u.tls.ServerName = u.serverName
	}
	if o.Transport == OverDNS || o.Transport == OverTLS {
		u.streams.Options = f.streamOptions(u)
	}
	if o.Transport == OverQUIC {
		u.tls.NextProtos, u.quic.dialing = []string{doqProtocol}, make(chan struct{}, 1)
	}
	return u
}

// streamOptions are those of the connections to u that queries share.
func (f *forwarder) streamOptions(u *upstream) stream.Options {
	return stream.Options{
		Receiver: f.engine, Dial: u.dial, TLS: u.tls, Timeout: connectTimeout, MaxIdle: u.idle.max, Expire: u.idle.expire,
		MaxAge: u.idle.maxAge, Stall: streamStall, Used: func(reused bool) { u.counts.dialled(u.via(), reused) }, Log: f.log,
	}
}

func (f *forwarder) readTimeout() time.Duration {
	return positive(f.options.ReadTimeout, DefaultReadTimeout)
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
		ClientSessionCache: tls.NewLRUClientSessionCache(MostUpstreams),
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

// run closes connections that have been idle for too long, and finds upstreams by name and by file. It returns when ctx
// has ended and with it all queries under way; nothing is asked after that.
func (f *forwarder) run(ctx context.Context) {
	f.engine.Start(f.log)
	defer f.engine.Stop()
	for _, o := range f.origins {
		if o.Host != "" || o.File != "" {
			f.wg.Go(func() { f.follow(o) })
		}
	}
	ticker := time.NewTicker(positive(f.options.Expire, DefaultExpire))
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-ticker.C:
			for _, u := range f.upstreams() {
				u.idle.close(now)
				f.streams.Sweep(&u.streams, now)
			}
		}
	}
	f.stop()
	f.mu.Lock()
	f.stopped = true
	for _, u := range f.flights {
		u.cancel(errStopped)
	}
	f.mu.Unlock()
	f.wg.Wait()
	for _, u := range f.upstreams() {
		f.end(u)
		f.streams.Stop(&u.streams)
	}
}

// enter has q take the place p, of which client and end are set: who asks, nobody being the cache, and what stops q. If q
// is to fail at once, enter returns the message that says why. The caller holds f.mu.
func (f *forwarder) enter(q *query, p *askedPlace) *message {
	p.since = time.Now()
	var name wire.QName
	name.SetString(q.name)
	p.domain = f.silence.domain(&name)
	if labels, silent := f.silence.over(&name, p.since); silent {
		if s := f.places.clients[p.client]; s != nil && s.probes >= probesEach {
			f.silent++
			return silentDomainMessage(name.Suffix(name.Labels() - labels))
		}
		p.probe = true
	}
	return f.places.take(p)
}

// silentDomainMessage says that nothing comes back for names below zone.
func silentDomainMessage(zone []byte) *message {
	text := fmt.Sprintf(edeSilent, wire.NameString(zone))
	return momentary(wire.ServerFailure, wire.NoReachableAuthority, text)
}

// recovered is the message for a question whose flight has panicked.
func (f *forwarder) recovered(cause any) *message {
	f.panics.Count(f.log, "forward", cause)
	return momentary(wire.ServerFailure, wire.Other, "internal error")
}

// rejection is the message for a query that was not admitted.
func rejection() *message {
	return momentary(wire.Refused, wire.Other, edeMaxConcurrent)
}

// passesOn reports whether option next or next_on_nodata hands a question that was answered with m to the next
// `forward`.
func (f *forwarder) passesOn(m *message) bool {
	empty := m.packet != nil && m.rcode == wire.NoError && m.counts[wire.Answer] == 0
	return slices.Contains(f.options.Next, uint16(m.rcode)) || f.options.NextOnNoData && empty
}

// mayPassOn reports whether passesOn may ever be true.
func (f *forwarder) mayPassOn() bool { return len(f.options.Next) > 0 || f.options.NextOnNoData }

// grow makes the reply that is coming for p larger.
func (f *forwarder) grow(p *askedPlace, octets int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.places.grow(p, octets)
}

// learn notes what came for q, which has place p: nil for nothing. It reports whether q is below a silent domain. A
// SERVFAIL that took long is nothing: the upstream has given up waiting for a silent domain.
func (f *forwarder) learn(q *query, p *askedPlace, m *message) (silent bool) {
	if m != nil && m.rcode != wire.ServerFailure && !f.silence.any.Load() {
		return false // what there is mostly, and nothing to forget
	}
	now := time.Now()
	waited := now.Sub(p.since)
	var name wire.QName
	name.SetString(q.name)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case m != nil && (m.rcode != wire.ServerFailure || waited < patience):
		f.silence.answered(&name, now)
		return false
	case waited >= patience:
		f.silence.unanswered(&name, p.since, now)
	}
	_, silent = f.silence.over(&name, now)
	return silent
}

// unhealthy is the answer when all upstreams are down: last, if there is one.
func (f *forwarder) unhealthy(last *message) *message {
	if last != nil {
		return last
	}
	return unanswered(wire.ServerFailure, wire.NoReachableAuthority, edeUpstreamsDown)
}

// order appends all upstreams in the order of the policy, without those that loop back to this server.
func (f *forwarder) order(all, order []*upstream) []*upstream {
	first := 0
	if f.options.Policy == RoundRobin && len(all) > 0 {
		first = int(f.turn.Add(1)-1) % len(all)
	}
	for i := range all {
		if u := all[(first+i)%len(all)]; u.loops.Load() == 0 {
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
		for f.ctx.Err() == nil && !f.alive(u) {
			observe.Pause(f.ctx, f.options.HealthCheck)
		}
	})
}

// alive checks u once. A check that panics tells nothing, and the next one is due.
func (f *forwarder) alive(u *upstream) bool {
	defer f.panics.Survive(f.log, "forward")
	if err := u.check(f.ctx, f.healthQuery(), f.options.ForceTCP); err == nil {
		if u.fails.Swap(0) > uint32(f.options.MaxFails) {
			f.log.Info("forward: upstream is up again", "upstream", u.address)
		}
		return true
	}
	u.counts.checksFailed.Add(1)
	if int(u.fails.Add(1)) == f.options.MaxFails+1 {
		f.log.Warn("forward: upstream is down", "upstream", u.address)
	}
	return false
}

// healthQuery asks for the name servers of the health check's domain, as CoreDNS does.
func (f *forwarder) healthQuery() query {
	name := "\x00"
	if parsed, err := wire.ParseName(f.options.HealthDomain); err == nil && f.options.HealthDomain != "" {
		name = string(parsed)
	}
	return query{name: name, typ: wire.TypeNS, rd: !f.options.HealthNoRec}
}
