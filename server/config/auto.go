package config

import (
	"regexp"

	"github.com/clusterdns/clusterdns/resolver"
)

// The defaults of auto, which are CoreDNS's.
const (
	defaultAutoPattern = `db\.(.*)`
	defaultAutoOrigin  = "${1}"
)

// auto [ZONES…] { directory DIR [REGEXP ORIGIN]; reload DURATION; upstream }
func (b *blockReader) auto(a *args) {
	f := resolver.ZoneFolder{Pattern: defaultAutoPattern, Origin: defaultAutoOrigin, Reload: defaultZoneReload}
	f.Zones = a.zonesOr(b.zones...)
	a.options(options{
		"directory": func(o *args) { b.directoryOf(o, &f) },
		"reload":    func(o *args) { f.Reload = o.duration(0, forever) },
		"upstream":  outdated,
	})
	if a.err == nil && f.Directory == "" {
		a.fail("needs the option directory: the folder of the zone files")
	}
	b.Steps.Folders = append(b.Steps.Folders, f)
}

// originGroup is how CoreDNS writes a group of the pattern; Go writes ${1}.
var originGroup = regexp.MustCompile(`\$?\{(\d+)\}`)

// directoryOf reads DIR [REGEXP ORIGIN].
func (b *blockReader) directoryOf(o *args, f *resolver.ZoneFolder) {
	f.Directory = b.inRoot(o.word("the folder of the zone files"))
	if o.err != nil {
		return
	}
	if _, err := worldFS.Open(worldFS{o.world}, f.Directory); err != nil {
		o.warnf("%q cannot be read yet: %v", f.Directory, reason(err))
	}
	if !o.more() {
		return
	}
	f.Pattern = o.word("")
	pattern, err := regexp.Compile(f.Pattern)
	switch {
	case len(f.Pattern) > patternBytes:
		o.fail("a pattern of %d bytes, wants at most %d", len(f.Pattern), patternBytes)
	case err != nil:
		o.fail("%v", err)
	case pattern.NumSubexp() == 0:
		o.fail("%q has no group (…), and ORIGIN needs one", f.Pattern)
	}
	f.Origin = originGroup.ReplaceAllString(o.word("the zone's name, with {1} for the first group"), "$${$1}")
}

func usesAuto(b *Block) bool { return len(b.Steps.Folders) > 0 }

func summarizeFolders(b *Block, s *summary) {
	for i := range b.Steps.Folders {
		f := &b.Steps.Folders[i]
		l := s.step("auto %s for %s", f.Directory, names(f.Zones))
		if f.Pattern != defaultAutoPattern || f.Origin != defaultAutoOrigin {
			l.add(true, "files %#q are zones %s", f.Pattern, f.Origin)
		}
		l.add(f.Reload != defaultZoneReload, "reload %v", f.Reload)
	}
}
