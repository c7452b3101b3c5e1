package resolver

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	notifyPause   = time.Second // between two NOTIFYs to a secondary, so that one stands for many changes
	notifyTries   = 5           // RFC 1996 section 3.6 wants a bound
	notifyTimeout = 2 * time.Second
)

// notifier tells one secondary that a zone has changed, and so when to transfer it (NOTIFY, RFC 1996).
type notifier struct {
	zone      string // presentation form
	of        versions
	secondary netip.AddrPort
	panics    *observe.Panics
	log       *slog.Logger
	rcode     int // of its last reply
}

// versions is a zone whose serial tells its versions apart.
type versions interface {
	Changed() <-chan struct{} // closed at the next change; to miss none, taken before serial
	serial() (serial uint32, ok bool)
}

type indexVersions struct{ *zones.Index }

func (v indexVersions) serial() (uint32, bool) {
	s := v.Numbered()
	return s.Serial(), s.Synced(zones.ServiceKinds)
}

type placeVersions struct{ *general.Place }

func (v placeVersions) serial() (uint32, bool) {
	z := v.Zone()
	if z == nil {
		return 0, false
	}
	return z.Serial(), true
}

// notifiers are the block's: one for each zone and secondary.
func (b *block) notifiers(log *slog.Logger) []*notifier {
	var all []*notifier
	add := func(zone []byte, of versions) {
		var name wire.QName
		name.Set(zone)
		for _, rule := range b.transfers {
			for _, to := range rule.To {
				if rule.zones.Contains(&name) {
					all = append(all, &notifier{zone: wire.NameString(zone), of: of, secondary: to,
						panics: &b.notifyPanics, log: log})
				}
			}
		}
	}
	for _, a := range slices.Concat(b.externals, b.authorities) {
		for i := range a.infos {
			add([]byte(a.infos[i].name), indexVersions{a.infos[i].index})
		}
	}
	if b.generals != nil {
		for _, set := range []*generalSet{&b.generals.files, &b.generals.secondaries} {
			for i := range set.list {
				name, _ := wire.ParseName(set.list[i].name) // it is a name: the set has it
				add(name, placeVersions{set.list[i].Place})
			}
		}
	}
	return all
}

// run notifies the secondary at the start and after each change, until ctx ends. After a secondary has not answered,
// the next attempt is at the next change.
func (n *notifier) run(ctx context.Context) {
	notified, told := uint32(0), false
	for ctx.Err() == nil {
		changed := n.of.Changed()
		if serial, ok := n.of.serial(); ok && (serial != notified || !told) {
			notified, told = serial, true
			n.notify(ctx)
			sleep(ctx, notifyPause)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// notify sends one NOTIFY, again if there is no reply.
func (n *notifier) notify(ctx context.Context) {
	defer n.panics.Survive(n.log, "transfer")
	message := new(dns.Msg)
	message.SetNotify(n.zone)
	client := dns.Client{Timeout: notifyTimeout}
	var err error
	for try := range notifyTries {
		var reply *dns.Msg
		reply, _, err = client.ExchangeContext(ctx, message, n.secondary.String())
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			n.judge(reply.Rcode)
			return
		}
		sleep(ctx, notifyPause<<try)
	}
	n.log.Warn("transfer: secondary does not answer NOTIFY", "zone", n.zone, "secondary", n.secondary, "error", err)
}

// judge warns of a secondary that does not take NOTIFY, once until its rcode changes. It is not asked again until the
// next change: it has replied.
func (n *notifier) judge(rcode int) {
	if rcode != n.rcode && rcode != dns.RcodeSuccess {
		n.log.Warn("transfer: secondary refuses NOTIFY, so that it takes the zone when it refreshes",
			"zone", n.zone, "secondary", n.secondary, "rcode", dns.RcodeToString[rcode])
	}
	n.rcode = rcode
}
