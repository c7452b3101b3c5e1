package resolver

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/miekg/dns"

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
	log       *slog.Logger
}

// notifiers are the block's: one for each zone and secondary.
func (b *block) notifiers(log *slog.Logger) []*notifier {
	var all []*notifier
	for _, a := range b.authorities {
		for i := range a.infos {
			z := &a.infos[i]
			var name wire.QName
			name.SetString(z.name)
			for _, rule := range b.transfers {
				for _, to := range rule.To {
					if rule.zones.Contains(&name) {
						all = append(all, &notifier{wire.NameString([]byte(z.name)), z.index, to, log})
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
		if s := n.index.Snapshot(); s.Synced(zones.ServiceKinds) && s.Serial() != notified {
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
	message := new(dns.Msg)
	message.SetNotify(n.zone)
	client := dns.Client{Timeout: notifyTimeout}
	var err error
	for try := range notifyTries {
		if _, _, err = client.ExchangeContext(ctx, message, n.secondary.String()); err == nil || ctx.Err() != nil {
			return
		}
		sleep(ctx, notifyPause<<try)
	}
	n.log.Warn("transfer: secondary does not answer NOTIFY", "zone", n.zone, "secondary", n.secondary, "error", err)
}
