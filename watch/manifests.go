package watch

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// manifests is a source that reads a folder, and reads it again when something in it changes. Each reading is of the whole folder: the
// receiver finds what is different.
type manifests struct {
	folder  string
	options Options
	log     *slog.Logger
	sink    func(r reading, newFaults int)

	quiet    time.Duration // without an event, before a change is read: an editor writes a file in several steps
	patience time.Duration // after which it is read in the midst of events
	poll     time.Duration // between readings where the system cannot tell of changes

	allocations allocations     // of the last reading
	said        map[string]bool // faults of the last reading
	unread      string          // why the folder cannot be read, "" when it can
	unwatched   string          // why it cannot be watched
}

func newManifests(s *state) *manifests {
	return &manifests{folder: s.options.Manifests, options: s.options, log: s.log,
		quiet: 50 * time.Millisecond, patience: time.Second, poll: 10 * time.Second,
		sink: func(r reading, newFaults int) {
			s.change(func() {
				s.counters.PassedOver = r.passedOver
				s.counters.Problems += uint64(newFaults)
			})
			s.replaceAll(r.objects)
		}}
}

// run reads and follows the folder until ctx ends. A watch is set up anew for each reading and before it, so that no change falls between
// them, whatever was removed, made again or linked elsewhere.
func (m *manifests) run(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := m.watch()
		m.say(&m.unwatched, "manifests cannot be watched, edits are noticed late", err)
		m.read()
		m.wait(ctx, w)
		w.close()
	}
}

// read hands a reading to the sink. When the folder cannot be read, it may be on its way to be made again: the last reading stays.
func (m *manifests) read() {
	r, err := readManifests(os.DirFS(m.folder), m.options)
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		path.Path = filepath.Join(m.folder, path.Path) // a DirFS says "."
	}
	m.say(&m.unread, "manifests cannot be read, the last reading stays", err)
	if err != nil {
		return
	}
	m.sayMoved(r.allocations)
	last := m.said
	m.said = make(map[string]bool, len(r.faults))
	fresh := 0
	for _, f := range r.faults {
		if f.file != "" {
			f.file = filepath.Join(m.folder, filepath.FromSlash(f.file))
		}
		text := f.String()
		m.said[text] = true
		if !last[text] {
			m.log.Warn(text)
			fresh++
		}
	}
	said := []any{"folder", m.folder, "services", len(r.objects.services), "slices", len(r.objects.slices), "namespaces", len(r.objects.namespaces)}
	if m.options.VerifyPods {
		said = append(said, "pods", len(r.objects.pods)) // which nobody else keeps
	}
	said = append(said, "faults", len(r.faults))
	for _, kind := range slices.Sorted(maps.Keys(r.passedOver)) {
		said = append(said, "passed over "+kind, r.passedOver[kind])
	}
	m.log.Info("manifests read", said...)
	m.sink(r, fresh)
}

// sayMoved logs the addresses that are others than in the last reading: where a manifest that came or went asks for one of them, or has a
// name that leads to the same one.
func (m *manifests) sayMoved(now allocations) {
	for c, addr := range now {
		if before, ok := m.allocations[c]; ok && before != addr {
			m.log.Info("an address moved with the manifests beside it", c.kind, c.namespace+"/"+c.name, "from", before, "to", addr)
		}
	}
	m.allocations = now
}

// say logs an error when it is not the one of last time.
func (m *manifests) say(last *string, words string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != *last {
		m.log.Warn(words, "folder", m.folder, "error", err)
	}
	*last = text
}

// wait returns when something changed and it is quiet again, or when ctx ends.
func (m *manifests) wait(ctx context.Context, w *folderWatch) {
	var events <-chan fsnotify.Event
	var lost <-chan error
	var quiet, patience, poll <-chan time.Time
	if w == nil {
		poll = time.After(m.poll)
	} else {
		events, lost = w.watcher.Events, w.watcher.Errors
	}
	changed := func() {
		quiet = time.After(m.quiet)
		if patience == nil {
			patience = time.After(m.patience)
		}
	}
	for {
		select {
		case e := <-events:
			if w.concerns(e) {
				changed()
			}
		case <-lost:
			changed()
		case <-quiet:
			return
		case <-patience:
			return
		case <-poll:
			return
		case <-ctx.Done():
			return
		}
	}
}

// folderWatch is told of changes to what one reading reads.
type folderWatch struct {
	watcher *fsnotify.Watcher
	name    string          // of the folder, absolute
	folder  string          // the same without links
	paths   map[string]bool // folders that are watched, and files that links lead to
}

// watch begins to watch the folder, those in it that are read, and the nearest folder around it, where it can be removed, replaced and
// made again. A link to a file may lead elsewhere: the folder it leads to is watched too.
func (m *manifests) watch() (*folderWatch, error) {
	name, err := filepath.Abs(m.folder)
	if err != nil {
		return nil, err
	}
	folder, err := filepath.EvalSymlinks(name)
	if err != nil {
		folder = name // it does not exist yet
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &folderWatch{watcher, name, folder, map[string]bool{}}
	w.addAround(name)
	if folder != name {
		w.addAround(folder)
	}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // gone already, or not there yet: what is around it tells when it comes
		case path != folder && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case path == folder || entry.IsDir():
			return w.add(path)
		case entry.Type()&fs.ModeSymlink != 0 && isManifest(entry.Name()):
			if target, err := filepath.EvalSymlinks(path); err == nil {
				w.paths[target] = true
				return w.add(filepath.Dir(target))
			}
		}
		return nil
	})
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// addAround watches the nearest folder around a path that there is.
func (w *folderWatch) addAround(path string) {
	for around := filepath.Dir(path); w.watcher.Add(around) != nil && around != filepath.Dir(around); around = filepath.Dir(around) {
	}
}

func (w *folderWatch) add(folder string) error {
	w.paths[folder] = true
	if err := w.watcher.Add(folder); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// concerns reports whether an event may change a reading.
func (w *folderWatch) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	base := filepath.Base(e.Name)
	switch {
	case w.paths[e.Name], within(w.name, e.Name), within(w.folder, e.Name):
		return true // the folder, or what it is in
	case strings.HasPrefix(base, ".."):
		return true // "..data" is the link by which the files of a ConfigMap change all at once
	case !within(e.Name, w.folder):
		return false // a neighbour
	case isManifest(base):
		return true
	}
	info, err := os.Stat(e.Name)
	return err == nil && info.IsDir()
}

// within reports whether a path is a folder or in it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
}

// close ends the watch; a nil one has none.
func (w *folderWatch) close() {
	if w != nil {
		_ = w.watcher.Close() // nothing depends on it any more
	}
}
