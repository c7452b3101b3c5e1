package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/zones/general"
)

// PrimaryOptions are a zone that other servers have.
type PrimaryOptions struct {
	Zone string // such as "example.org."
	From []netip.AddrPort
}

// The times of a secondary that its primary does not choose.
const (
	firstRetry  = 250 * time.Millisecond // before the first zone, doubling
	mostRetry   = 10 * time.Second
	leastTimer  = time.Second // of refresh and retry: a primary must not make us ask all the time
	askTimeout  = 3 * time.Second
	notifyPause = 250 * time.Millisecond // between two checks, however many NOTIFYs arrive
)

// Primary is a zone that is transferred from other servers, the primaries.
type Primary struct {
	*general.Place
	options  PrimaryOptions
	gate     *Gate
	log      *slog.Logger
	notified chan struct{}
	counts   transferCounters
	checked  time.Time // when a primary last had the serial that we have; of Run alone
	fault    string
}

type transferCounters struct {
	whole, changes, failures, checks, notifies, foreign, expired atomic.Uint64
}

// TransferCounts are what a secondary has counted.
type TransferCounts struct {
	Whole, Changes uint64 // transfers that were taken: AXFR and IXFR
	Checks         uint64 // questions for the SOA record
	Notifies       uint64 // from primaries
	Foreign        uint64 // NOTIFYs from others
	Expired        uint64 // times that the zone was too old
}

// Gate bounds the transfers that are under way at a time. The zero Gate is ready.
type Gate struct {
	once   sync.Once
	places chan struct{}
}

// MostTransfers is how many zones are transferred in at a time.
const MostTransfers = 8

func (g *Gate) enter(ctx context.Context) error {
	g.once.Do(func() { g.places = make(chan struct{}, MostTransfers) })
	select {
	case g.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Gate) leave() { <-g.places }

// NewPrimary is the zone without content: Run transfers it.
func NewPrimary(options PrimaryOptions, gate *Gate, log *slog.Logger) *Primary {
	return &Primary{Place: general.NewPlace(), options: options, gate: gate, log: log, notified: make(chan struct{}, 1)}
}

// Notify says that client has sent a NOTIFY. It reports whether client is a primary; then the zone is checked at once
// (RFC 1996 section 3.11).
func (p *Primary) Notify(client netip.Addr) bool {
	client = client.Unmap()
	if !slices.ContainsFunc(p.options.From, func(a netip.AddrPort) bool { return a.Addr().Unmap() == client }) {
		p.counts.foreign.Add(1)
		return false
	}
	p.counts.notifies.Add(1)
	select {
	case p.notified <- struct{}{}:
	default: // one check stands for many
	}
	return true
}

// Run keeps the zone equal to that of the primaries until ctx ends: it asks for their serial when the SOA record says
// so, and after a NOTIFY (RFC 1035 section 4.3.5). A zone that no primary has had for too long is taken away.
func (p *Primary) Run(ctx context.Context) {
	failures := 0
	for {
		err := p.update(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := p.judge(err, &failures)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.notified:
			timer.Stop()
			if !observe.Pause(ctx, notifyPause) {
				return
			}
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// judge counts a failure, lets the zone expire, and says when to ask again.
func (p *Primary) judge(err error, failures *int) time.Duration {
	z := p.Zone()
	switch {
	case err == nil:
		*failures, p.fault, p.checked = 0, "", time.Now()
		return max(z.Numbers().Refresh, leastTimer)
	case err.Error() != p.fault:
		p.fault = err.Error()
		p.log.Warn("secondary: zone cannot be transferred, asking again", "zone", p.options.Zone, "error", err)
	}
	*failures++
	p.counts.failures.Add(1)
	if z == nil {
		return min(firstRetry<<min(*failures-1, 10), mostRetry)
	}
	left := z.Numbers().Expire - time.Since(p.checked)
	if left <= 0 {
		p.counts.expired.Add(1)
		p.log.Error("secondary: zone has expired, no primary has had it for too long", "zone", p.options.Zone)
		p.Publish(nil)
		*failures = 0
		return firstRetry
	}
	return min(max(z.Numbers().Retry, leastTimer), left)
}

// update takes the zone of the first primary that has it or says that ours is the newest.
func (p *Primary) update(ctx context.Context) error {
	var all []error
	for _, from := range p.options.From {
		err := p.ask(ctx, from)
		if err == nil {
			return nil
		}
		all = append(all, fmt.Errorf("%s: %w", from, err))
	}
	return errors.Join(all...)
}

// ask takes the zone of one primary, if its serial is newer than ours (RFC 1982).
func (p *Primary) ask(ctx context.Context, from netip.AddrPort) error {
	z := p.Zone()
	if z != nil {
		p.counts.checks.Add(1)
		serial, err := serialAt(ctx, p.options.Zone, from)
		if err != nil || int32(serial-z.Serial()) <= 0 {
			return err
		}
	}
	if err := p.gate.enter(ctx); err != nil {
		return err
	}
	defer p.gate.leave()
	if z != nil {
		next, changes, err := transfer(ctx, p.options.Zone, from, z)
		if err == nil {
			p.take(next, changes)
			return nil
		}
		p.log.Info("secondary: no IXFR, asking for the whole zone", "zone", p.options.Zone, "from", from, "error", err)
	}
	next, _, err := transfer(ctx, p.options.Zone, from, nil)
	if err == nil {
		p.take(next, false)
	}
	return err
}

// take publishes a zone that was transferred whole, or by its changes.
func (p *Primary) take(z *general.Zone, changes bool) {
	if changes {
		p.counts.changes.Add(1)
	} else {
		p.counts.whole.Add(1)
	}
	if old := p.Zone(); old == nil || old.Serial() != z.Serial() {
		p.Publish(z)
	}
	p.log.Info("secondary: zone transferred", "zone", p.options.Zone, "serial", z.Serial(), "records", z.Records(),
		"changes", changes)
}

// serialAt asks a primary for its serial, over UDP and, if the reply is cut, over TCP.
func serialAt(ctx context.Context, zone string, from netip.AddrPort) (uint32, error) {
	query := new(dns.Msg).SetQuestion(zone, dns.TypeSOA)
	query.RecursionDesired = false
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network, Timeout: askTimeout}
		reply, _, err := client.ExchangeContext(ctx, query, from.String())
		switch {
		case err != nil && network == "tcp":
			return 0, err
		case err != nil || reply.Truncated && network == "udp":
			continue
		case reply.Rcode != dns.RcodeSuccess:
			return 0, fmt.Errorf("the question for SOA has rcode %s", dns.RcodeToString[reply.Rcode])
		}
		for _, rr := range reply.Answer {
			if soa, ok := rr.(*dns.SOA); ok && dns.CanonicalName(soa.Hdr.Name) == zone {
				return soa.Serial, nil
			}
		}
		return 0, errors.New("the reply has no SOA record")
	}
	return 0, errors.New("no reply")
}

// ZoneName is the zone's name.
func (p *Primary) ZoneName() string { return p.options.Zone }

// Counts are those of the zone.
func (p *Primary) Counts() Counts {
	n := &p.counts
	c := counts(p.options.Zone, "", p.Zone(), n.failures.Load())
	c.Transfers = &TransferCounts{
		Whole: n.whole.Load(), Changes: n.changes.Load(), Checks: n.checks.Load(), Notifies: n.notifies.Load(),
		Foreign: n.foreign.Load(), Expired: n.expired.Load(),
	}
	return c
}
