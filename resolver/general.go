package resolver

import (
	"context"
	"fmt"
	"log/slog"

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

// apexPlace is where the general zone whose apex is the question's name is published; nil for none.
func (q *question) apexPlace() (place *general.Place, source Source) {
	for i := range q.scope.generals {
		if place, labels, source := q.scope.generals[i].place(q); place != nil && labels == q.name.Labels() {
			return place, source
		}
	}
	return nil, None
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
