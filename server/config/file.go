package config

import (
	"errors"
	"io/fs"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/feed"
)

// defaultZoneReload is how often file and auto look for changes, as in CoreDNS.
const defaultZoneReload = time.Minute

// file FILE [ZONES…] { reload DURATION; reload_by_mtime; fallthrough [ZONES…]; upstream }
func (b *blockReader) file(a *args) {
	f := resolver.ZoneFile{File: b.inRoot(a.word("a zone file")), Reload: defaultZoneReload}
	f.Zones = a.zonesOr(b.zones...)
	a.options(options{
		"reload":          func(o *args) { f.Reload = o.duration(0, forever) },
		"reload_by_mtime": set(&f.ByTime),
		"fallthrough":     func(o *args) { f.Fallthrough.Zones = o.zonesOr(".") },
		"upstream":        outdated,
	})
	a.checkZoneFile(&f)
	b.Steps.Files = append(b.Steps.Files, f)
}

// checkZoneFile fails if the file is there and is no file of the zones.
func (a *args) checkZoneFile(f *resolver.ZoneFile) {
	for _, zone := range f.Zones {
		if a.err != nil {
			return
		}
		err := a.parseZone(f.File, zone)
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.Reload == 0:
			a.fail("%q cannot be read, and with reload 0 it is not looked for again: %v", f.File, reason(err))
			return
		case errors.Is(err, fs.ErrNotExist):
			a.warnf("%q cannot be read yet, and until then the answer is SERVFAIL: %v", f.File, reason(err))
			return
		case err != nil:
			a.fail("%v", err)
		}
	}
}

func (a *args) parseZone(name, zone string) error {
	file, err := a.files.Open(a.rooted(name))
	if err != nil {
		return err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.New(name + ": not a regular file")
	}
	_, outside, err := feed.Parse(file, name, zone, worldFS{a.world})
	if outside > 0 {
		a.warnf("%d records of %q are not in the zone %s, and are left out", outside, name, zone)
	}
	return err
}

// worldFS is the files of a world by the names that users write.
type worldFS struct{ *world }

func (w worldFS) Open(name string) (fs.File, error) { return w.files.Open(w.rooted(name)) }

func usesFile(b *Block) bool { return len(b.Steps.Files) > 0 }

func summarizeFiles(b *Block, s *summary) {
	for i := range b.Steps.Files {
		f := &b.Steps.Files[i]
		l := s.step("file %s for %s", f.File, names(f.Zones))
		l.add(f.Reload != defaultZoneReload, "reload %v", f.Reload)
		l.add(f.ByTime, "reload by mtime")
		l.passes(f.Fallthrough)
	}
}
