package config

import (
	"errors"
	"io/fs"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/general"
)

// defaultZoneReload is how often a zone file is looked at, as in CoreDNS.
const defaultZoneReload = time.Minute

// file FILE [ZONES…] { reload DURATION; fallthrough [ZONES…]; upstream }
func (b *blockReader) file(a *args) {
	f := resolver.ZoneFile{File: a.word("a zone file"), Reload: defaultZoneReload}
	f.Zones = a.zonesOr(b.zones...)
	a.checkZoneFile(&f)
	a.options(options{
		"reload":      func(o *args) { f.Reload = o.duration(0, forever) },
		"fallthrough": func(o *args) { f.Fallthrough.Zones = o.zonesOr(".") },
		"upstream":    outdated,
	})
	b.Steps.Files = append(b.Steps.Files, f)
}

// checkZoneFile fails if the file is no zone file of the zones, and warns if it is not there yet.
func (a *args) checkZoneFile(f *resolver.ZoneFile) {
	if a.err != nil {
		return
	}
	content, err := a.read(f.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		a.warnf("%q cannot be read yet: %v; until it can, its zones are SERVFAIL", f.File, err)
		return
	case err != nil:
		a.fail("%q cannot be read: %v", f.File, err)
		return
	}
	for _, zone := range f.Zones {
		if _, err := general.Read(f.File, zone, content); err != nil {
			a.fail("%v", err)
			return
		}
	}
}

func usesFile(b *Block) bool { return len(b.Steps.Files) > 0 }

func summarizeFiles(b *Block, s *summary) {
	for i := range b.Steps.Files {
		f := &b.Steps.Files[i]
		l := s.step("file %s for %s", f.File, names(f.Zones))
		l.add(f.Reload != defaultZoneReload, "reload %v", f.Reload)
		l.passes(f.Fallthrough)
	}
}
