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
	index     *zones.Index
	secondary netip.AddrPort
	panics    *observe.Panics
	log       *slog.Logger
	rcode     int // of its last reply
}

// notifiers are the block's: one for each zone and secondary.
func (b *block) notifiers(log *slog.Logger) []*notifier {
	var all []*notifier
	for _, a := range slices.Concat(b.externals, b.authorities) {
		for i := range a.infos {
			z := &a.infos[i]
			var name wire.QName
			name.SetString(z.name)
			for _, rule := range b.transfers {
				for _, to := range rule.To {
					if rule.zones.Contains(&name) {
						all = append(all, &notifier{zone: wire.NameString([]byte(z.name)), index: z.index, secondary: to,
							panics: &b.notifyPanics, log: log})
					}
				}
			}
		}
	}
	return all
}

// run notifies the secondary at the start and after each change, until ctx ends. After a secondary has not answered,
// the next attempt is at the next change.
func (n *notifier) run(ctx context.Context) {
	notified := uint32(0)
	for ctx.Err() == nil {
		changed := n.index.Changed()
		if s := n.index.Numbered(); s.Synced(zones.ServiceKinds) && s.Serial() != notified {
			notified = s.Serial()
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
