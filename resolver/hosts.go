package resolver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// maxWarnings is how many bad lines of one reading are logged each on its own.
const maxWarnings = 10

// hosts answers from a table like /etc/hosts. Readers load an immutable table; run, the one writer, replaces it.
type hosts struct {
	options      Hosts
	zones        zones.Set
	fallthroughs zones.Set
	ttl          uint32
	table        atomic.Pointer[hostTable]
	reloaded     atomic.Pointer[time.Time] // modification time of the file in the table
	log          *slog.Logger
	*feed.Followed
}

// hostTable is what the lines say. Names are in wire form and lower case.
type hostTable struct {
	names   map[string]host
	wild    map[string]host // wildcards, by the name without the asterisk
	ptrs    map[netip.Addr][]string
	entries int // addresses and PTR targets
}

// host is the addresses of a name, packed.
type host struct{ a, aaaa string }

// newHosts reads the file and the inline lines. A missing file is no error: it may appear later.
func newHosts(options Hosts, log *slog.Logger) (*hosts, error) {
	h := &hosts{options: options, ttl: seconds(options.TTL), log: log}
	h.Followed = feed.NewFollowed(options.File, options.Reload, "hosts: cannot read hosts file, keeping previous entries", log,
		h.take)
	var err error
	if h.zones, err = zones.NewSet(options.Zones); err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	if h.fallthroughs, err = zones.NewSet(options.Fallthrough.Zones); err != nil {
		return nil, fmt.Errorf("hosts: fallthrough: %w", err)
	}
	if h.Load(); h.table.Load() == nil {
		h.compile(nil)
	}
	return h, nil
}

func (h *hosts) run(ctx context.Context) { h.Run(ctx) }

// take makes the table of the file and the inline lines.
func (h *hosts) take(file io.Reader, changed time.Time) error {
	content, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	h.compile(content)
	h.reloaded.Store(&changed)
	return nil
}

// compile publishes the table made from the file's content and the inline lines.
func (h *hosts) compile(content []byte) {
	p := hostParser{zones: &h.zones, reverse: !h.options.NoReverse, seen: make(map[hostPair]struct{}),
		many: make(map[hostKey][]byte)}
	p.table = &hostTable{
		names: make(map[string]host),
		wild:  make(map[string]host),
		ptrs:  make(map[netip.Addr][]string),
	}
	p.lines(h.options.File, content)
	p.lines("inline hosts entry", []byte(strings.Join(h.options.Inline, "\n")))
	p.finish()
	for _, warning := range p.warnings {
		h.log.Warn("hosts: " + warning)
	}
	if p.bad > len(p.warnings) {
		h.log.Warn("hosts: more bad lines", "count", p.bad-len(p.warnings))
	}
	h.table.Store(p.table)
}

// hostParser adds lines to a table.
type hostParser struct {
	zones    *zones.Set
	reverse  bool
	table    *hostTable
	seen     map[hostPair]struct{}
	many     map[hostKey][]byte // addresses of names with many, until all are read
	bad      int
	warnings []string // of the first bad lines: "file:line: what is wrong"
}

type hostPair struct {
	addr netip.Addr
	name string
}

// hostKey is one half of an entry of a table.
type hostKey struct {
	name      string
	wild, ip6 bool
}

// fewOctets of addresses are kept together by copying them for each one that comes. More have room to grow, since the
// time would be the square of their number.
const fewOctets = 256

// append adds the address ip to packed, which is that half of an entry.
func (p *hostParser) append(packed string, key hostKey, ip []byte) string {
	if len(packed) < fewOctets {
		return packed + string(ip)
	}
	rest := p.many[key]
	if rest == nil {
		rest = []byte(packed)
	}
	p.many[key] = append(rest, ip...)
	return packed
}

// finish gives the names with many addresses all of them.
func (p *hostParser) finish() {
	for key, packed := range p.many {
		table := p.table.names
		if key.wild {
			table = p.table.wild
		}
		entry := table[key.name]
		if key.ip6 {
			entry.aaaa = string(packed)
		} else {
			entry.a = string(packed)
		}
		table[key.name] = entry
	}
}

// lines reads lines of the form "address name name… # comment". It skips bad lines, and bad names in a line.
func (p *hostParser) lines(file string, content []byte) {
	number := 0
	for line := range bytes.Lines(content) {
		number++
		line, _, _ = bytes.Cut(line, []byte{'#'})
		fields := strings.Fields(string(line))
		if len(fields) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		switch {
		case err != nil:
			p.warn(file, number, fmt.Sprintf("%.60q is not an IP address", fields[0]))
			continue
		case len(fields) == 1:
			p.warn(file, number, "no name after the address")
		}
		for _, field := range fields[1:] {
			if name, err := wire.ParseName(field); err != nil || len(name) == 1 {
				p.warn(file, number, fmt.Sprintf("%.60q is not a name", field))
			} else {
				p.add(addr.Unmap().WithZone(""), string(name))
			}
		}
	}
}

func (p *hostParser) warn(file string, line int, what string) {
	if p.bad++; len(p.warnings) < maxWarnings {
		p.warnings = append(p.warnings, fmt.Sprintf("%s:%d: %s", file, line, what))
	}
}

// add gives name the address, if it is in the zones and does not have the address yet.
func (p *hostParser) add(addr netip.Addr, name string) {
	var q wire.QName
	q.SetString(name)
	pair := hostPair{addr, name}
	if _, ok := p.seen[pair]; ok || !p.zones.Contains(&q) {
		return
	}
	p.seen[pair] = struct{}{}
	p.table.entries++
	table := p.table.names
	isWild := string(q.Label(0)) == "*"
	if isWild {
		table, name = p.table.wild, string(q.Suffix(1))
	}
	entry := table[name]
	if addr.Is4() {
		ip := addr.As4()
		entry.a = p.append(entry.a, hostKey{name, isWild, false}, ip[:])
	} else {
		ip := addr.As16()
		entry.aaaa = p.append(entry.aaaa, hostKey{name, isWild, true}, ip[:])
	}
	table[name] = entry
	if p.reverse && !isWild {
		p.table.entries++
		p.table.ptrs[addr] = append(p.table.ptrs[addr], name)
	}
}

// find is the addresses of name: its own, or those of a wildcard in place of its first label.
func (t *hostTable) find(name *wire.QName) (host, bool) {
	entry, ok := t.names[string(name.Name())]
	if !ok && name.Labels() > 0 {
		entry, ok = t.wild[string(name.Suffix(1))]
	}
	return entry, ok
}

// answer answers q from the table. For a name in the zones that is not in the table, without fallthrough, the answer is
// SERVFAIL, as in CoreDNS: there is no SOA to send an NXDOMAIN with. A PTR question for an unknown address always goes
// on to the next step.
func (h *hosts) answer(r *Request, q *question) result {
	table := h.table.Load()
	if q.qtype == wire.TypePTR {
		if prefix, ok := zones.ParseArpa(q.name); ok && prefix.IsSingleIP() && len(table.ptrs[prefix.Addr()]) > 0 {
			return h.answerPTR(r, q, table.ptrs[prefix.Addr()])
		}
	}
	if !q.scope.hosts {
		return result{}
	}
	entry, ok := table.find(q.name)
	if !ok {
		if q.qtype == wire.TypePTR || q.scope.hostsThrough {
			return result{}
		}
		return failure(FromHosts, wire.ServerFailure, wire.Other, edeHostsNoName)
	}
	if h.options.OtherTypes && q.scope.hostsThrough && !hasType(q.qtype) {
		return result{}
	}
	if q.wants(&r.Reply, wire.TypeA) {
		r.rotated(q.owner, wire.TypeA, h.ttl, entry.a, 4)
	}
	if q.wants(&r.Reply, wire.TypeAAAA) {
		r.rotated(q.owner, wire.TypeAAAA, h.ttl, entry.aaaa, 16)
	}
	if q.empty(&r.Reply) && !r.Reply.Truncated() {
		return result{outcome: nodata, source: FromHosts, authoritative: true, words: edeHostsNoData}
	}
	return result{outcome: answered, source: FromHosts, authoritative: true}
}

// hasType reports whether hosts have records of a type.
func hasType(qtype wire.Type) bool {
	return qtype == wire.TypeA || qtype == wire.TypeAAAA || qtype == wire.TypeANY
}

// answerPTR answers a reverse name.
func (h *hosts) answerPTR(r *Request, q *question, names []string) result {
	for _, name := range names {
		if _, ok := r.Reply.AddName(q.owner, wire.TypePTR, h.ttl, nil, name); !ok {
			break
		}
	}
	return result{outcome: answered, source: FromHosts, authoritative: true}
}
