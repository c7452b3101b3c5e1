package resolver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// generals are the zones of the directives file, auto and secondary of a block. Feeds write them; here they are read.
type generals struct {
	files       generalSet
	folders     []*folder
	secondaries generalSet
}

// generalSet is the zones of all directives of one kind. If a zone occurs twice, the last one counts.
type generalSet struct {
	names []string
	zones zones.Set
	list  []generalZone // by index in zones
}

// generalZone is one zone.
type generalZone struct {
	*general.Place
	source  Source
	name    string // with its final dot
	through zones.Set
	primary *feed.Primary // of secondary; else nil
	file    *feed.File    // of file; else nil
}

// folder is one directive auto.
type folder struct {
	*feed.Folder
	zones zones.Set
}

// generalScope is a zone, or a folder of zones, that the names of a scope are in.
type generalScope struct {
	zone    *generalZone
	labels  int          // of zone
	parent  *generalZone // the next shorter zone, which may have the DS records of zone; nil for none
	above   int          // labels of parent
	through bool
	folder  *folder // in the place of all that
}

// The feeds run as parts do.
type (
	fileFeed    struct{ *feed.File }
	folderFeed  struct{ *feed.Folder }
	primaryFeed struct{ *feed.Primary }
)

func (f fileFeed) run(ctx context.Context)    { f.Run(ctx) }
func (f folderFeed) run(ctx context.Context)  { f.Run(ctx) }
func (f primaryFeed) run(ctx context.Context) { f.Run(ctx) }

// newGenerals obtains the feeds of the directives.
func (r *Resolver) newGenerals(b *block, log *slog.Logger) error {
	o := b.options
	if len(o.Files)+len(o.Folders)+len(o.Secondaries) == 0 {
		return nil
	}
	g := &generals{}
	b.generals = g
	for _, f := range o.Files {
		for _, zone := range f.Zones {
			options := feed.FileOptions{Name: f.File, Zone: zone, Reload: f.Reload, ByTime: f.ByTime}
			part, err := obtain(r, "file", options, func() (fileFeed, error) {
				file, err := feed.NewFile(options, log)
				return fileFeed{file}, err
			})
			if err != nil {
				return fmt.Errorf("file: %w", err)
			}
			part.Load() // a reload reads what has changed
			z := generalZone{Place: part.Place, source: FromFile, name: zone, file: part.File}
			if err := g.files.add(z, f.Fallthrough); err != nil {
				return fmt.Errorf("file: %w", err)
			}
		}
	}
	for _, f := range o.Folders {
		options := feed.FolderOptions{Directory: f.Directory, Pattern: f.Pattern, Origin: f.Origin, Zones: f.Zones,
			Reload: f.Reload}
		part, err := obtain(r, "auto", options, func() (folderFeed, error) {
			folder, err := feed.NewFolder(options, log)
			return folderFeed{folder}, err
		})
		if err != nil {
			return fmt.Errorf("auto: %w", err)
		}
		part.Load()
		set, err := zones.NewSet(f.Zones)
		if err != nil {
			return fmt.Errorf("auto: %w", err)
		}
		g.folders = append(g.folders, &folder{part.Folder, set})
	}
	for _, s := range o.Secondaries {
		for _, zone := range s.Zones {
			options := feed.PrimaryOptions{Zone: zone, From: s.From}
			part, err := obtain(r, "secondary", options, func() (primaryFeed, error) {
				return primaryFeed{feed.NewPrimary(options, &r.parts.incoming, log)}, nil
			})
			if err != nil {
				return fmt.Errorf("secondary: %w", err)
			}
			z := generalZone{Place: part.Place, source: FromSecondary, name: zone, primary: part.Primary}
			if err := g.secondaries.add(z, s.Fallthrough); err != nil {
				return fmt.Errorf("secondary: %w", err)
			}
		}
	}
	return nil
}

// add adds a zone whose names go on as through says.
func (s *generalSet) add(z generalZone, through Fallthrough) (err error) {
	if z.through, err = zones.NewSet(through.Zones); err != nil {
		return err
	}
	s.names, s.list = append(s.names, z.name), append(s.list, z)
	s.zones, err = zones.NewSet(s.names)
	return err
}

// scope is the zones that the names of zone are in, in the order in which they are asked.
func (g *generals) scope(zone *wire.QName) (all []generalScope) {
	all = g.files.scope(all, zone)
	for _, f := range g.folders {
		if f.zones.Contains(zone) {
			all = append(all, generalScope{folder: f})
		}
	}
	return g.secondaries.scope(all, zone)
}

func (s *generalSet) scope(all []generalScope, zone *wire.QName) []generalScope {
	i, labels, ok := s.zones.Match(zone)
	if !ok {
		return all
	}
	return append(all, generalScope{zone: &s.list[i], labels: labels, through: s.list[i].through.Contains(zone)})
}

// adopt gives the general zones whose apex zone is the zones above them, which may be those of another block.
func (o *owners) adopt(generals []generalScope, zone *wire.QName) {
	if zone.Labels() == 0 {
		return
	}
	above := new(wire.QName)
	above.Set(zone.Suffix(1))
	i, _, ok := o.zones.Match(above)
	if !ok {
		return
	}
	b := o.blocks[o.at[i][0].block]
	if b.generals == nil || b.view != nil {
		return
	}
	for _, parent := range b.generals.scope(above) {
		for j := range generals {
			if g := &generals[j]; g.zone != nil && g.labels == zone.Labels() && g.parent == nil && parent.zone != nil {
				g.parent, g.above = parent.zone, parent.labels
			}
		}
	}
}

// place is where the zone that q is for is published; nil for none. A question for the DS records of a zone is for the one
// above, if that delegates it (RFC 4035 section 3.1.4.1).
func (g *generalScope) place(q *question) (place *general.Place, labels int, source Source) {
	if g.folder != nil {
		return g.folder.place(q)
	}
	if q.qtype == wire.TypeDS && g.parent != nil && g.labels == q.name.Labels() && delegates(g.parent.Place, q.name) {
		return g.parent.Place, g.above, g.parent.source
	}
	return g.zone.Place, g.labels, g.zone.source
}

func (f *folder) place(q *question) (place *general.Place, labels int, source Source) {
	table := f.Table()
	i, labels, ok := table.Match(q.name)
	if !ok {
		return nil, 0, FromAuto
	}
	if q.qtype == wire.TypeDS && labels > 0 && labels == q.name.Labels() {
		var above wire.QName
		above.Set(q.name.Suffix(1))
		if j, labels, ok := table.Match(&above); ok && delegates(table.Files[j].Place, q.name) {
			return table.Files[j].Place, labels, FromAuto
		}
	}
	return table.Files[i].Place, labels, FromAuto
}

// delegates reports whether the zone in place has name as a zone cut, or may have it: it has not been read yet.
func delegates(place *general.Place, name *wire.QName) bool {
	zone := place.Zone()
	if zone == nil {
		return true
	}
	m := zone.Lookup(name, wire.TypeDS)
	if m.Outcome != general.Found && m.Outcome != general.NoData || m.Wild {
		return false
	}
	_, cut := m.Node.RRset(wire.TypeNS)
	return cut
}

// answerGeneral answers q from the first zone of file, auto or secondary that has an answer.
func answerGeneral(r *Request, q *question) result {
	for i := range q.scope.generals {
		g := &q.scope.generals[i]
		place, labels, source := g.place(q)
		if place == nil {
			continue
		}
		zone := place.Zone()
		if zone == nil {
			return failure(source, wire.ServerFailure, wire.NotReady, edeNoZone[source])
		}
		w := generalWriter{Request: r, question: q, zone: zone, labels: labels, source: source}
		if res := w.answer(g.through); res.outcome != pass {
			return res
		}
	}
	return result{}
}

// generalWriter writes the answer of one zone.
type generalWriter struct {
	*Request
	*question
	zone   *general.Zone
	labels int
	source Source
}

// answer follows RFC 1034 section 4.3.2.
func (w *generalWriter) answer(through bool) result {
	m := w.zone.Lookup(w.question.name, w.qtype)
	if m.Wild && w.noted.by != nil && w.noted.wildcard == "" {
		w.noted.wildcard = wire.NameString(m.Node.Owner())
	}
	res := result{outcome: answered, source: w.source, authoritative: true}
	switch m.Outcome {
	case general.Found:
		w.add(w.owner, w.question.name.Name(), m.RRset)
		w.servers(&m)
		w.targets(m.RRset, "")
	case general.Alias:
		return w.alias(&m)
	case general.Redirect:
		return w.redirect(&m)
	case general.Referral:
		w.refer(&m)
		res.authoritative = false
	case general.NoData:
		w.deny()
		res.outcome, res.words = nodata, edeZoneNoData
		_, zone := m.Node.RRset(wire.TypeNS)
		w.cut = zone && m.Labels > w.labels
	case general.NoName:
		if through {
			return result{}
		}
		w.deny()
		res.outcome, res.rcode, res.words = nxdomain, wire.NameError, edeZoneNoName
	}
	return res
}

// add adds an rrset, starting at another record in each reply if the block rotates, and reports whether it fit.
func (w *generalWriter) add(at wire.Offset, owner []byte, s general.RRset) bool {
	first := 0
	if w.rotate && turns(s.Type) {
		first = w.first(s.Count)
	}
	record := wire.Written{Owner: owner, Type: s.Type, Class: wire.ClassIN, TTL: s.TTL}
	ok := true
	for _, part := range [2][2]int{{first, s.Count}, {0, first}} {
		i := 0
		for data := range s.Data {
			if record.Data = data; ok && part[0] <= i && i < part[1] {
				ok = w.Reply.AddAt(at, &record)
			}
			i++
		}
	}
	return ok
}

// servers adds the name servers of the zone to the authority section, as CoreDNS does, if all of them fit.
func (w *generalWriter) servers(m *general.Match) {
	servers, ok := w.zone.Top().RRset(wire.TypeNS)
	if !ok || w.Reply.Truncated() || m.RRset.Type == wire.TypeNS && m.Labels == w.labels {
		return
	}
	mark := w.Reply.Mark()
	w.Reply.Begin(wire.Authority)
	if !w.add(w.apex(&w.Reply, w.labels), []byte(w.zone.Apex()), servers) {
		w.Reply.Rewind(mark)
	}
}

// mostTargetNames is how many names in an rrset get additional records: they are compared with each other.
const mostTargetNames = 32

// targets adds the addresses of the names that an rrset points to (RFC 1035 section 3.3, RFC 2782). Where cut is a name,
// the reply is TC without those at or below it (RFC 9471 section 3.1).
func (w *generalWriter) targets(s general.RRset, cut string) {
	before := 0
	switch s.Type {
	case wire.TypeNS:
	case wire.TypeMX:
		before = 2
	case wire.TypeSRV:
		before = 6
	default:
		return
	}
	w.Reply.Begin(wire.Additional)
	var seen [mostTargetNames][]byte
	n := 0
	for data := range s.Data {
		name := data[before:]
		if n == mostTargetNames || contains(seen[:n], name) {
			continue
		}
		seen[n] = name
		n++
		node, ok := w.zone.Target(name)
		if !ok {
			continue
		}
		for _, t := range addressTypes {
			if rrset, ok := node.RRset(t); ok && !w.add(0, name, rrset) && cut != "" && wire.Within(name, []byte(cut)) {
				w.Reply.SetFlags(wire.FlagTC)
			}
		}
	}
}

func contains(names [][]byte, name []byte) bool {
	for _, n := range names {
		if bytes.Equal(n, name) {
			return true
		}
	}
	return false
}

// alias answers with a CNAME record and goes on with its target.
func (w *generalWriter) alias(m *general.Match) result {
	if w.links == maxLinks {
		return w.brokenChain(w.source)
	}
	before := w.Reply.Len()
	if !w.add(w.owner, w.question.name.Name(), m.RRset) {
		return result{outcome: answered, source: w.source, authoritative: true}
	}
	return w.chase(w.question, w.source, m.RRset.Target(), w.dataAt(before))
}

// dataAt is where the data of the record at an offset of the reply is.
func (w *generalWriter) dataAt(before int) wire.Offset {
	owner, _ := wire.SkipName(w.Reply.Bytes(), before)
	return wire.Pointer(owner + 10)
}

// redirect answers a name below a DNAME with it and the CNAME that it makes (RFC 6672 section 3.1), and goes on with the
// target of that.
func (w *generalWriter) redirect(m *general.Match) result {
	res := result{outcome: answered, source: w.source, authoritative: true}
	if w.links == maxLinks {
		return w.brokenChain(w.source)
	}
	name, dname := w.question.name, m.Node.Name()
	again := slices.ContainsFunc(w.visited[:w.links], func(h hop) bool { return h.dname == dname }) // it is in the reply
	if !again && !w.add(w.apex(&w.Reply, m.Labels), m.Node.Owner(), m.RRset) {
		return res
	}
	var target [2 * wire.MaxName]byte
	size := copy(target[:], name.Between(0, name.Labels()-m.Labels))
	size += copy(target[size:], m.RRset.First())
	if size > wire.MaxName {
		res.outcome, res.rcode, res.info, res.words = failed, wire.YXDomain, wire.Other, edeZoneLongName
		return res
	}
	before := w.Reply.Len()
	cname := wire.Written{Owner: name.Name(), Type: wire.TypeCNAME, Class: wire.ClassIN, TTL: m.RRset.TTL,
		Data: target[:size]}
	if !w.Reply.AddAt(w.owner, &cname) || w.qtype == wire.TypeCNAME {
		return res
	}
	at := w.dataAt(before)
	w.Request.name.Set(target[:size])
	return w.lead(w.question, w.source, hop{dname: dname}, at)
}

// refer sends the client to the servers of a delegated zone (RFC 1034 section 4.3.2, step 3b), with its DS records if
// the client asks for such (RFC 4035 section 3.1.4).
func (w *generalWriter) refer(m *general.Match) {
	at := w.apex(&w.Reply, m.Labels)
	w.Reply.Begin(wire.Authority)
	if !w.add(at, m.Node.Owner(), m.RRset) {
		return
	}
	if ds, ok := m.Node.RRset(wire.TypeDS); ok && w.Query.DO {
		w.add(at, m.Node.Owner(), ds)
	}
	w.targets(m.RRset, string(m.Node.Owner()))
}

// deny adds the SOA of a denial (RFC 2308 section 3).
func (w *generalWriter) deny() {
	data, _, negative := w.zone.SOA()
	w.Reply.Begin(wire.Authority)
	w.Reply.AddAt(w.apex(&w.Reply, w.labels), &wire.Written{Owner: []byte(w.zone.Apex()), Type: wire.TypeSOA,
		Class: wire.ClassIN, TTL: negative, Data: data})
}

// apexPlace is where the general zone whose apex is the question's name is published; nil for none.
func (q *question) apexPlace() (place *general.Place, source Source) {
	for i := range q.scope.generals {
		if place, labels, source := q.scope.generals[i].place(q); place != nil && labels == q.name.Labels() {
			return place, source
		}
	}
	return nil, None
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

// counts are those of all zones.
func (g *generals) count(first func(any) bool) (c GeneralCounts) {
	for _, z := range g.files.list {
		if first(z.file) {
			c.Files = append(c.Files, z.file.Counts())
		}
	}
	for _, f := range g.folders {
		if first(f.Folder) {
			c.Folders = append(c.Folders, FolderCounts{f.Directory(), f.Counts(), f.Left(), f.Failures()})
		}
	}
	for _, z := range g.secondaries.list {
		if first(z.primary) {
			c.Secondaries = append(c.Secondaries, z.primary.Counts())
		}
	}
	return c
}

// GeneralCounts are the zones of file, auto and secondary of a block.
type GeneralCounts struct {
	Files       []feed.Counts
	Folders     []FolderCounts
	Secondaries []feed.Counts
}

// FolderCounts are the zones of one auto.
type FolderCounts struct {
	Directory string
	Zones     []feed.Counts
	Left      uint64 // files beyond the bound
	Failures  uint64 // readings of files that were never taken
}
