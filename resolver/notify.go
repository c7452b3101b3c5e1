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
	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	notifyPause   = time.Second // between two NOTIFYs to a secondary, so that one stands for many changes
	notifyTries   = 5           // RFC 1996 section 3.6 wants a bound
	notifyTimeout = 2 * time.Second
)

// notifier tells one secondary that zones have changed, and so when to transfer them (NOTIFY, RFC 1996).
type notifier struct {
	of        versions
	secondary netip.AddrPort
	panics    *observe.Panics
	log       *slog.Logger
	told      map[string]uint32 // the serial that was told last, by zone
	rcode     int               // of its last reply
}

// versions are zones whose serials tell their versions apart.
type versions interface {
	Changed() <-chan struct{} // closed at the next change; to miss none, taken before all
	all(yield func(zone string, serial uint32) bool)
}

type indexVersions struct {
	*zones.Index
	zone string // in presentation form
}

func (v indexVersions) all(yield func(string, uint32) bool) {
	if s := v.Numbered(); s.Synced(zones.ServiceKinds) {
		yield(v.zone, s.Serial())
	}
}

type placeVersions struct {
	*general.Place
	zone string
}

func (v placeVersions) all(yield func(string, uint32) bool) {
	if z := v.Zone(); z != nil {
		yield(v.zone, z.Serial())
	}
}

// folderVersions are the zones of a folder that a rule is for.
type folderVersions struct {
	*feed.Folder
	zones zones.Set
}

func (v folderVersions) all(yield func(string, uint32) bool) {
	for _, file := range v.Table().Files {
		z := file.Zone()
		if z == nil {
			continue
		}
		var name wire.QName
		name.SetString(z.Apex())
		if v.zones.Contains(&name) && !yield(file.ZoneName(), z.Serial()) {
			return
		}
	}
}

// notifiers are the block's: one for each zone or folder of zones, and secondary.
func (b *block) notifiers(log *slog.Logger) []*notifier {
	var all []*notifier
	tell := func(of versions, to netip.AddrPort) {
		all = append(all, &notifier{of: of, secondary: to, panics: &b.notifyPanics, log: log})
	}
	for _, rule := range b.transfers {
		for _, to := range rule.To {
			for _, of := range b.versions(rule.zones) {
				tell(of, to)
			}
		}
	}
	return all
}

// versions are the zones of the block that are in a set.
func (b *block) versions(in zones.Set) (all []versions) {
	has := func(zone string) bool {
		var name wire.QName
		name.SetString(zone)
		return in.Contains(&name)
	}
	for _, a := range slices.Concat(b.externals, b.authorities) {
		for i := range a.infos {
			if z := &a.infos[i]; has(z.name) {
				all = append(all, indexVersions{z.index, wire.NameString([]byte(z.name))})
			}
		}
	}
	if b.generals == nil {
		return all
	}
	for _, list := range [][]generalZone{b.generals.files.list, b.generals.secondaries.list} {
		for i := range list {
			name, _ := wire.ParseName(list[i].name) // it is a name: the set has it
			if has(string(name)) {
				all = append(all, placeVersions{list[i].Place, list[i].name})
			}
		}
	}
	for _, f := range b.generals.folders {
		all = append(all, folderVersions{f.Folder, in})
	}
	return all
}

// run notifies the secondary at the start and after each change, until ctx ends. After a secondary has not answered,
// the next attempt is at the next change.
func (n *notifier) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := n.of.Changed()
		if n.tell(ctx) {
			observe.Pause(ctx, notifyPause)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// tell sends a NOTIFY for each zone that has changed, one after the other, until the secondary does not answer. It reports
// whether there was any and all have been answered.
func (n *notifier) tell(ctx context.Context) (any bool) {
	told, silent := map[string]uint32{}, false
	for zone, serial := range n.of.all {
		before, ok := n.told[zone]
		switch {
		case ok && before == serial:
			told[zone] = serial
		case silent && ok:
			told[zone] = before
		case !silent:
			any, told[zone] = true, serial
			silent = !n.notify(ctx, zone)
		}
	}
	n.told = told
	return any && !silent
}

// notify sends one NOTIFY, again if there is no reply. It reports whether there was one.
func (n *notifier) notify(ctx context.Context, zone string) (answered bool) {
	defer n.panics.Survive(n.log, "transfer")
	message := new(dns.Msg)
	message.SetNotify(zone)
	client := dns.Client{Timeout: notifyTimeout}
	var err error
	for try := range notifyTries {
		var reply *dns.Msg
		reply, _, err = client.ExchangeContext(ctx, message, n.secondary.String())
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil:
			n.judge(zone, reply.Rcode)
			return true
		}
		observe.Pause(ctx, notifyPause<<try)
	}
	n.log.Warn("transfer: secondary does not answer NOTIFY", "zone", zone, "secondary", n.secondary, "error", err)
	return false
}

// judge warns of a secondary that does not take NOTIFY, once until its rcode changes. It is not asked again until the
// next change: it has replied.
func (n *notifier) judge(zone string, rcode int) {
	if rcode != n.rcode && rcode != dns.RcodeSuccess {
		n.log.Warn("transfer: secondary refuses NOTIFY, so that it takes the zone when it refreshes",
			"zone", zone, "secondary", n.secondary, "rcode", dns.RcodeToString[rcode])
	}
	n.rcode = rcode
}

// notified answers a NOTIFY (RFC 1996): those of a secondary's primaries are taken, and make it ask for the serial.
func (r *Resolver) notified(request *Request, buf []byte) ([]byte, Result) {
	r.begin(request, buf)
	request.Reply.Rcode = r.notify(request)
	if request.Reply.Rcode == wire.NoError {
		request.Reply.SetFlags(wire.FlagAA)
	}
	return request.Reply.Finish(), Send
}

func (r *Resolver) notify(request *Request) wire.Rcode {
	q := &request.question
	if q.scope == nil || q.qtype != wire.TypeSOA {
		return wire.NotAuth
	}
	rcode := wire.Rcode(wire.NotAuth)
	for i := range q.scope.generals {
		g := &q.scope.generals[i]
		if g.zone == nil || g.zone.primary == nil || g.labels != q.name.Labels() {
			continue
		}
		request.Source, rcode = FromSecondary, wire.Refused
		if g.zone.primary.Notify(request.Client.Addr()) {
			return wire.NoError
		}
	}
	return rcode
}

// hasSecondaries reports whether a block transfers zones from others, so that NOTIFY means something.
func (r *Resolver) hasSecondaries() bool {
	for _, b := range r.blocks {
		if len(b.options.Secondaries) > 0 {
			return true
		}
	}
	return false
}
