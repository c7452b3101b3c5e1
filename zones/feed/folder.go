package feed

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/general"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// MostZones is how many zones a folder gives at most.
const MostZones = 10_000

// FolderOptions are a folder of zone files.
type FolderOptions struct {
	Directory string
	Pattern   string        // of Go's package regexp, for the names of files
	Origin    string        // the zone's name; ${1} is the first group of Pattern
	Zones     []string      // zones at or below these
	Reload    time.Duration // how often the folder is looked at; 0 never
}

// Folder is the zones that the files of a folder have.
type Folder struct {
	options         FolderOptions
	pattern         *regexp.Regexp
	within          zones.Set
	log             *slog.Logger
	table           atomic.Pointer[Table]
	general.Changes               // of the table, or of a zone in it
	left            atomic.Uint64 // files beyond MostZones

	failures atomic.Uint64 // readings of files that have not been taken yet

	loading sync.Mutex        // guards what follows
	files   map[string]*File  // by name of the file
	broken  map[string]string // why others are not taken, by name of the file
	fault   string            // why the folder cannot be read; "" if it can
}

// Table is the zones of a folder at one time. It never changes.
type Table struct {
	zones.Set
	Files []*File // by index in the set
}

// NewFolder reads the folder. A missing one is no error: it may appear later.
func NewFolder(options FolderOptions, log *slog.Logger) (*Folder, error) {
	f := &Folder{options: options, log: log, Changes: general.NewChanges(), files: map[string]*File{}}
	var err error
	if f.pattern, err = regexp.Compile(options.Pattern); err != nil {
		return nil, err
	}
	if f.within, err = zones.NewSet(options.Zones); err != nil {
		return nil, err
	}
	f.table.Store(&Table{})
	f.Load()
	return f, nil
}

// Table is the zones now.
func (f *Folder) Table() *Table { return f.table.Load() }

// Directory is the folder.
func (f *Folder) Directory() string { return f.options.Directory }

// Run follows the folder until ctx ends.
func (f *Folder) Run(ctx context.Context) { Every(ctx, f.options.Reload, f.Load) }

// Load reads the files that are new or have changed, and forgets those that are gone.
func (f *Folder) Load() {
	f.loading.Lock()
	defer f.loading.Unlock()
	origins, err := f.scan()
	if err != nil {
		if f.fault != err.Error() {
			f.fault = err.Error()
			f.log.Warn("auto: cannot read the folder, its zones stay as they are", "directory", f.options.Directory, "error", err)
		}
		return
	}
	f.fault = ""
	changed, content, broken := false, false, map[string]string{}
	for name, file := range f.files {
		if origins[name] != file.options.Zone {
			delete(f.files, name)
			changed = true
			f.log.Info("auto: zone has gone with its file", "zone", file.options.Zone, "file", name)
		}
	}
	for name, origin := range origins {
		if file := f.files[name]; file != nil {
			before := file.Zone()
			file.Load()
			content = content || file.Zone() != before
			continue
		}
		file, err := NewFile(FileOptions{Name: name, Zone: origin}, f.log)
		if err != nil {
			f.failures.Add(1)
			if f.broken[name] != err.Error() {
				f.log.Warn("auto: zone file is not taken", "zone", origin, "file", name, "error", err)
			}
			broken[name] = err.Error()
			continue
		}
		f.files[name], changed = file, true
	}
	f.broken = broken
	if changed {
		f.publish()
	}
	if changed || content {
		f.Change()
	}
}

// scan finds the files and their zones. Of several files for one zone the first by name is taken.
func (f *Folder) scan() (origins map[string]string, err error) {
	origins = map[string]string{}
	taken := map[string]bool{}
	left := uint64(0)
	// os.DirFS follows the folder where it is a link itself. Files keep their names when the link changes.
	err = fs.WalkDir(os.DirFS(f.options.Directory), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && name == ".":
			return err
		case err != nil:
			return nil
		case entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), ".."):
			return fs.SkipDir // of a mounted ConfigMap: its files have links beside the folder
		case entry.IsDir():
			return nil
		}
		name = filepath.Join(f.options.Directory, name)
		origin, ok := f.origin(entry.Name())
		info, err := os.Stat(name)
		if !ok || err != nil || !info.Mode().IsRegular() || taken[origin] {
			return nil
		}
		if len(origins) == MostZones {
			left++
			return nil
		}
		origins[name], taken[origin] = origin, true
		return nil
	})
	f.left.Store(left)
	return origins, err
}

// origin is the zone of the file called name.
func (f *Folder) origin(name string) (origin string, ok bool) {
	groups := f.pattern.FindStringSubmatchIndex(name)
	if groups == nil {
		return "", false
	}
	origin = dns.CanonicalName(string(f.pattern.ExpandString(nil, f.options.Origin, name, groups)))
	apex, err := wire.ParseName(origin)
	if err != nil {
		return "", false
	}
	var q wire.QName
	q.SetString(string(apex))
	return origin, f.within.Contains(&q)
}

// publish makes the table.
func (f *Folder) publish() {
	t := &Table{}
	var names []string
	for _, file := range f.files {
		names, t.Files = append(names, file.options.Zone), append(t.Files, file)
	}
	t.Set, _ = zones.NewSet(names) // they are names: see origin
	f.table.Store(t)
}

// Counts are those of the zones, by name.
func (f *Folder) Counts() (all []Counts) {
	for _, file := range f.Table().Files {
		all = append(all, file.Counts())
	}
	slices.SortFunc(all, func(a, b Counts) int { return strings.Compare(a.Zone, b.Zone) })
	return all
}

// Left is the number of files beyond MostZones; Failures counts readings of files that have not been taken yet.
func (f *Folder) Left() uint64     { return f.left.Load() }
func (f *Folder) Failures() uint64 { return f.failures.Load() }
