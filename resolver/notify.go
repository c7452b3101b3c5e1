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
	notifyPause   = time.Second // between two NOTIFYs of a zone to one secondary: changes in between are one
	notifyTries   = 5           // RFC 1996 section 3.6 asks for a bound
	notifyTimeout = 2 * time.Second
)

// notifier tells one secondary when a zone has changed (NOTIFY, RFC 1996), and so when to transfer it.
type notifier struct {
	zone      string // presentation form
	index     *zones.Index
	secondary netip.AddrPort
	log       *slog.Logger
}

// notifiers are those of a block: one for each secondary of each zone.
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

// run tells the secondary of the state at the start and of each change, until ctx ends. A secondary that does not answer is left alone
// until the next change.
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
	n.log.Warn("secondary does not answer NOTIFY", "zone", n.zone, "secondary", n.secondary, "error", err)
}
