package resolver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	dnsPort         = 53
	systemResolvers = "/etc/resolv.conf" // has whom to ask for names of upstreams, unless `resolver` says so

	// resolverFileBytes is the most that is read of a file of nameservers: a mistyped path must not fill the memory.
	resolverFileBytes = 1 << 20

	// filePause is how often a file of nameservers is looked at, as often as one of hosts.
	filePause = 5 * time.Second

	// The addresses of a name are asked for again when their TTL ends, within these times: a TTL of 0 must not make a
	// storm, and one of a week must not outlive the server that it names by days.
	leastLookupPause = 5 * time.Second
	mostLookupPause  = time.Hour

	// lookupRetry is when a lookup that failed is tried again, at first; each further failure doubles it.
	lookupRetry     = time.Second
	mostLookupRetry = 30 * time.Second
)

// origin is one word of TO…, and the addresses that it stands for now.
type origin struct {
	Upstream
	addresses []netip.AddrPort // guarded by the mutex of the forwarder
	asked     bool             // its addresses have been asked for, whatever came of it; guarded likewise
}

// newOrigins makes the origins of to. What a file says is known at once; the addresses of a name are asked for by run.
func newOrigins(to []Upstream) (all []*origin) {
	for _, u := range to {
		o := &origin{Upstream: u}
		switch {
		case u.Host != "":
		case u.File != "":
			o.addresses, _ = readNameservers(u.File, u.Port)
		default:
			o.addresses = []netip.AddrPort{u.Address}
		}
		all = append(all, o)
	}
	return all
}

// upstreams is the servers that the origins stand for now.
func (f *forwarder) upstreams() []*upstream { return *f.members.Load() }

// gather makes the upstreams of what the origins say. Those that were there before go on with their health, counters and
// connections, and those that are gone lose theirs.
func (f *forwarder) gather() {
	var before, all []*upstream
	if list := f.members.Load(); list != nil {
		before = *list
	}
	for _, o := range f.origins {
		for _, address := range o.addresses {
			made := f.newUpstream(o, address)
			if slices.ContainsFunc(all, made.same) {
				continue
			}
			if len(all) == MostUpstreams {
				f.log.Warn("forward: too many upstreams, the others are not asked", "most", MostUpstreams)
				break
			}
			if i := slices.IndexFunc(before, made.same); i >= 0 {
				made = before[i]
			}
			all = append(all, made)
		}
	}
	f.members.Store(&all)
	f.open()
	for _, u := range before {
		if !slices.Contains(all, u) {
			f.end(u)
		}
	}
}

// same reports whether other is the same server, asked in the same way.
func (u *upstream) same(other *upstream) bool {
	return u.address == other.address && u.transport == other.transport && u.serverName == other.serverName
}

// open lets questions through that wait for an upstream, once there is one, or all names have been asked for.
func (f *forwarder) open() {
	pending := func(o *origin) bool { return o.Host != "" && !o.asked }
	if len(f.upstreams()) == 0 && slices.ContainsFunc(f.origins, pending) {
		return
	}
	select {
	case <-f.ready:
	default:
		close(f.ready)
	}
}

// found has o stand for addresses, and reports whether that is news.
func (f *forwarder) found(o *origin, addresses []netip.AddrPort) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped || slices.Equal(o.addresses, addresses) {
		return false
	}
	o.addresses = addresses
	f.gather()
	return true
}

// follow keeps an origin up to date until f stops.
func (f *forwarder) follow(o *origin) {
	if o.File != "" {
		f.followFile(o)
	} else {
		f.followName(o)
	}
}

// followFile reads the file again when it has changed. One that is away or names nobody leaves the last nameservers.
func (f *forwarder) followFile(o *origin) {
	var last string
	for {
		observe.Pause(f.ctx, filePause)
		if f.ctx.Err() != nil {
			return
		}
		addresses, err := readNameservers(o.File, o.Port)
		switch {
		case err != nil && err.Error() != last:
			last = err.Error()
			f.log.Warn("forward: the file has no nameservers any more; the last ones are asked", "file", o.File,
				"error", err)
		case err == nil:
			last = ""
			if f.found(o, addresses) {
				f.log.Info("forward: other nameservers", "file", o.File, "nameservers", addresses)
			}
		}
	}
}

// followName asks for the addresses of the name when their TTL ends. A lookup that fails leaves the last addresses: a
// server that cannot be found anew may well answer still.
func (f *forwarder) followName(o *origin) {
	retry := lookupRetry
	for f.ctx.Err() == nil {
		addresses, ttl, err := f.lookup(f.ctx, o.Host, o.Port)
		pause := min(max(ttl, leastLookupPause), mostLookupPause)
		if err != nil {
			f.lookupsFailed.Add(1)
			if skipped, ok := f.lookupLimiter.Allow(time.Now(), logPause); ok && f.ctx.Err() == nil {
				f.log.Warn("forward: no address of an upstream", "name", o.Host, "error", err, "more", skipped)
			}
			pause, retry = retry, min(2*retry, mostLookupRetry)
		} else {
			retry = lookupRetry
			if f.found(o, addresses) {
				f.log.Info("forward: addresses of an upstream", "name", o.Host, "addresses", addresses)
			}
		}
		f.mu.Lock()
		o.asked = true
		f.open()
		f.mu.Unlock()
		observe.Pause(f.ctx, pause)
	}
}

// await waits for the first upstream. A question for the name of one does not wait: it may be the very lookup, which has
// come here through a server that forwards to this one.
func (f *forwarder) await(ctx context.Context, name string) {
	for _, o := range f.origins {
		if parsed, err := wire.ParseName(o.Host); err == nil && o.Host != "" && string(parsed) == name {
			return
		}
	}
	select {
	case <-f.ready:
	case <-ctx.Done():
	}
}

// lookup is the addresses of name with port, in order, and how long they hold. It asks one resolver after another.
func (f *forwarder) lookup(ctx context.Context, name string, port uint16) ([]netip.AddrPort, time.Duration, error) {
	servers := f.options.Resolvers
	if len(servers) == 0 {
		var err error
		if servers, err = readNameservers(systemResolvers, dnsPort); err != nil {
			return nil, 0, err
		}
	}
	err := errors.New("nobody to ask")
	for _, server := range servers {
		u := &upstream{address: server, source: f.options.Source, readTimeout: f.readTimeout()}
		u.idle.stop() // nothing is kept for the next lookup
		found, ttl, failed := u.lookup(ctx, name)
		if len(found) == 0 {
			err = failed
			continue
		}
		all := make([]netip.AddrPort, 0, len(found))
		for _, address := range found {
			all = append(all, netip.AddrPortFrom(address, port))
		}
		slices.SortFunc(all, netip.AddrPort.Compare) // resolvers turn them
		return slices.Compact(all), ttl, nil
	}
	return nil, 0, err
}

// lookup asks the upstream for the addresses of name.
func (u *upstream) lookup(ctx context.Context, name string) (all []netip.Addr, ttl time.Duration, err error) {
	parsed, err := wire.ParseName(name)
	if err != nil {
		return nil, 0, err
	}
	ttl = mostLookupPause
	for _, qtype := range []wire.Type{wire.TypeA, wire.TypeAAAA} {
		m, failed := u.ask(ctx, query{name: string(parsed), typ: qtype, rd: true}, false, unbounded)
		switch {
		case failed != nil:
			err = failed
		case m.outcome == wire.Answered:
			all, ttl = append(all, m.addresses(qtype)...), min(ttl, m.ttl)
		case len(all) == 0 && err == nil:
			err = fmt.Errorf("%s: %s has no address (%s)", u.address, name, dns.RcodeToString[int(m.rcode)])
		}
	}
	return all, ttl, err
}

// addresses are those in the answer's records of type qtype.
func (m *message) addresses(qtype wire.Type) (all []netip.Addr) {
	at := m.start
	for range m.counts[wire.Answer] {
		var record wire.Record
		at, _ = record.Read(m.packet, at)
		if address, ok := netip.AddrFromSlice(record.Data); ok && record.Type == qtype {
			all = append(all, address.Unmap())
		}
	}
	return all
}

// readNameservers reads those of a file like /etc/resolv.conf, at least one.
func readNameservers(file string, port uint16) ([]netip.AddrPort, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, resolverFileBytes))
	if err != nil {
		return nil, err
	}
	all, _, err := Nameservers(content, port)
	return all, err
}

// Nameservers are those that content, a file like /etc/resolv.conf, names, at least one; port is that of those without.
// wrong are those that are no IP addresses.
func Nameservers(content []byte, port uint16) (all []netip.AddrPort, wrong []string, err error) {
	conf, err := dns.ClientConfigFromReader(bytes.NewReader(content))
	if err != nil {
		return nil, nil, err
	}
	for _, server := range conf.Servers {
		address, err := netip.ParseAddr(strings.Trim(server, "[]"))
		if err != nil {
			if full, err := netip.ParseAddrPort(server); err == nil && full.Port() != 0 {
				all = append(all, netip.AddrPortFrom(Scoped(full.Addr()), full.Port()))
				continue
			}
			wrong = append(wrong, server)
			continue
		}
		all = append(all, netip.AddrPortFrom(Scoped(address), port))
	}
	if len(all) == 0 {
		return nil, wrong, errors.New("names no nameserver")
	}
	return all, wrong, nil
}

// Scoped drops the zone of an address, which follows its %, unless it is link-local: only those need their interface.
func Scoped(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.IsLinkLocalUnicast() {
		return a
	}
	return a.WithZone("")
}
