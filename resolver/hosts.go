package resolver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// maxComplaints is how many bad lines of one reading are logged one by one.
const maxWarnings = 10

// hosts answers from tables like /etc/hosts. Readers load an immutable table; run, the one writer, replaces it.
type hosts struct {
	options      Hosts
	zones        zones.Set
	fallthroughs zones.Set
	ttl          uint32
	log          *slog.Logger
	table        atomic.Pointer[hostTable]
	reloaded     atomic.Pointer[time.Time] // modification time of the file that the table is made from

	// Of run alone.
	last  fs.FileInfo // the file as it was read; nil before
	fault string      // why it cannot be read; "" when it can
}

// hostTable is what the lines say. Names are in wire form and lower case.
type hostTable struct {
	names   map[string]host
	wild    map[string]host // by the name that the asterisk stands below
	ptrs    map[netip.Addr][]string
	entries int // addresses and pointers
}

// host is the addresses of a name, packed.
type host struct{ a, aaaa string }

// newHosts reads the file and the inline lines. A file that is not there is no error: it may come.
func newHosts(options Hosts, log *slog.Logger) (*hosts, error) {
	h := &hosts{options: options, ttl: seconds(options.TTL), log: log}
	var err error
	if h.zones, err = zones.NewSet(options.Zones); err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	if h.fallthroughs, err = zones.NewSet(options.Fallthrough.Zones); err != nil {
		return nil, fmt.Errorf("hosts: fallthrough: %w", err)
	}
	if h.load(); h.table.Load() == nil {
		h.compile(nil)
	}
	return h, nil
}

// run reads the file again when it changes, until ctx ends.
func (h *hosts) run(ctx context.Context) {
	if h.options.Reload <= 0 || h.options.File == "" {
		return
	}
	ticker := time.NewTicker(h.options.Reload)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			h.load()
		}
	}
}

// load makes a new table if the file is another one than was read last. One that cannot be read leaves the table as it is.
func (h *hosts) load() {
	if h.options.File == "" {
		return
	}
	err := h.read()
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != h.fault {
		h.log.Warn("hosts: cannot read hosts file, keeping previous entries", "file", h.options.File, "error", err)
	}
	h.fault = fault
}

func (h *hosts) read() error {
	now, err := os.Stat(h.options.File)
	switch {
	case err != nil:
		return err
	case !now.Mode().IsRegular():
		return errors.New("not a regular file")
	case h.last != nil && os.SameFile(h.last, now) && h.last.ModTime().Equal(now.ModTime()) && h.last.Size() == now.Size():
		return nil
	}
	content, err := os.ReadFile(h.options.File)
	if err != nil {
		return err
	}
	h.last = now
	h.compile(content)
	changed := now.ModTime()
	h.reloaded.Store(&changed)
	return nil
}

// compile publishes the table of the file's content and the inline lines.
func (h *hosts) compile(content []byte) {
	p := hostParser{zones: &h.zones, reverse: !h.options.NoReverse, seen: make(map[hostPair]struct{})}
	p.table = &hostTable{names: make(map[string]host), wild: make(map[string]host), ptrs: make(map[netip.Addr][]string)}
	p.lines(h.options.File, content)
	p.lines("inline hosts entry", []byte(strings.Join(h.options.Inline, "\n")))
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
	bad      int
	warnings []string // the first of the bad lines, as "file:line: what is wrong"
}

type hostPair struct {
	addr netip.Addr
	name string
}

// lines reads "address name name… # comment" lines. A bad line, or a bad name in a line, is passed over.
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

// add gives name the address, if it is in the zones and has it not yet.
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
		entry.a += string(ip[:])
	} else {
		ip := addr.As16()
		entry.aaaa += string(ip[:])
	}
	table[name] = entry
	if p.reverse && !isWild {
		p.table.entries++
		p.table.ptrs[addr] = append(p.table.ptrs[addr], name)
	}
}

// find is the addresses of name: its own, or those of an asterisk in place of its first label.
func (t *hostTable) find(name *wire.QName) (host, bool) {
	entry, ok := t.names[string(name.Name())]
	if !ok && name.Labels() > 0 {
		entry, ok = t.wild[string(name.Suffix(1))]
	}
	return entry, ok
}

// answer answers q from the table. A name in the zones that is not in the table ends here unless it falls through: with SERVFAIL, as
// CoreDNS has it, since there is no SOA to say NXDOMAIN with. Addresses asked for by PTR always go on.
func (h *hosts) answer(r *Request, q *question) result {
	table := h.table.Load()
	if q.qtype == wire.TypePTR {
		if addr, ok := zones.ParseArpa(q.name); ok && len(table.ptrs[addr]) > 0 {
			return h.answerPTR(r, q, table.ptrs[addr])
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
	if q.wants(&r.Reply, wire.TypeA) {
		r.rotated(q, wire.TypeA, h.ttl, entry.a, 4)
	}
	if q.wants(&r.Reply, wire.TypeAAAA) {
		r.rotated(q, wire.TypeAAAA, h.ttl, entry.aaaa, 16)
	}
	if q.empty(&r.Reply) && !r.Reply.Truncated() {
		return result{outcome: nodata, source: FromHosts, authoritative: true, words: edeHostsNoData}
	}
	return result{outcome: answered, source: FromHosts, authoritative: true}
}

// pointers answers a reverse name.
func (h *hosts) answerPTR(r *Request, q *question, names []string) result {
	for _, name := range names {
		if _, ok := r.Reply.AddName(q.owner, wire.TypePTR, h.ttl, nil, name); !ok {
			break
		}
	}
	return result{outcome: answered, source: FromHosts, authoritative: true}
}
