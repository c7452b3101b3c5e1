package manifests

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/clusterdns/clusterdns/watch/object"
)

// Folder is a folder of manifests that is read, and read again when something in it changes. Each reading is of the
// whole folder: the receiver finds what is different.
type Folder struct {
	path      string
	selection object.Selection
	log       *slog.Logger
	sink      func(Reading)

	settle   time.Duration // without an event, before a change is read: an editor writes a file in several steps
	patience time.Duration // after which it is read in the midst of events
	poll     time.Duration // between readings where the system cannot tell of changes

	allocations allocations     // of the last reading
	logged      map[string]bool // faults of the last reading
	unread      string          // why the folder cannot be read, "" when it can
	unwatched   string          // why it cannot be watched
}

// NewFolder prepares to read the folder at path. Each reading is handed to sink, by the goroutine that calls Run.
func NewFolder(path string, selection object.Selection, log *slog.Logger, sink func(Reading)) *Folder {
	return &Folder{
		path:      path,
		selection: selection,
		log:       log,
		sink:      sink,
		settle:    50 * time.Millisecond,
		patience:  time.Second,
		poll:      10 * time.Second,
	}
}

// Run reads and follows the folder until ctx ends. A watch is set up anew for each reading and before it, so that no
// change falls between them, whatever was removed, made again or linked elsewhere.
func (d *Folder) Run(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := d.watch()
		d.logChanged(&d.unwatched, "manifests: cannot watch folder, reading it every "+d.poll.String(), err)
		d.read()
		d.wait(ctx, w)
		w.close()
	}
}

// read hands a reading to the sink. When the folder cannot be read, it may be on its way to be made again: the last
// reading stays.
func (d *Folder) read() {
	r, err := readManifests(os.DirFS(d.path), d.selection)
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		path.Path = filepath.Join(d.path, path.Path) // a DirFS has "."
	}
	d.logChanged(&d.unread, "manifests: cannot read folder, keeping the last reading", err)
	if err != nil {
		return
	}
	d.logMoved(r.allocations)
	r.NewFaults = d.logFaults(r.faults, r.remarks)
	d.log.Info("manifests: folder read", d.summary(&r)...)
	d.sink(r)
}

// Remark is the level of a log line about what is no mistake, and seldom meant.
const Remark = slog.LevelInfo + 2

// logFaults logs the faults and remarks that the last reading did not have, and counts the faults.
func (d *Folder) logFaults(faults, remarks []fault) (fresh int) {
	last := d.logged
	d.logged = make(map[string]bool, len(faults)+len(remarks))
	for i, f := range slices.Concat(faults, remarks) {
		if f.file != "" {
			f.file = filepath.Join(d.path, filepath.FromSlash(f.file))
		}
		text, level := f.String(), slog.LevelWarn
		if i >= len(faults) {
			level = Remark
		}
		d.logged[text] = true
		if last[text] {
			continue
		}
		d.log.Log(context.Background(), level, text)
		if level == slog.LevelWarn {
			fresh++
		}
	}
	return fresh
}

// summary is how many of what a reading has, as the attributes of a log line.
func (d *Folder) summary(r *Reading) []any {
	attrs := []any{"folder", d.path}
	for _, resource := range object.Resources {
		if resource.When(d.selection) {
			attrs = append(attrs, resource.Plural, len(r.Objects[resource.Kind]))
		}
	}
	attrs = append(attrs, "faults", len(r.faults))
	for _, kind := range slices.Sorted(maps.Keys(r.Ignored)) {
		attrs = append(attrs, "ignored_"+kind, r.Ignored[kind])
	}
	return attrs
}

// logMoved logs the addresses that are others than in the last reading: where a manifest that came or went asks for one
// of them, or has a name that leads to the same one.
func (d *Folder) logMoved(now allocations) {
	for c, addr := range now {
		if before, ok := d.allocations[c]; ok && before != addr {
			d.log.Info("manifests: allocated address changed", c.kind, c.Namespace+"/"+c.Name, "from", before, "to", addr)
		}
	}
	d.allocations = now
}

// logChanged logs an error when it is not the last one.
func (d *Folder) logChanged(last *string, words string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != *last {
		d.log.Warn(words, "folder", d.path, "error", err)
	}
	*last = text
}

// wait returns when something changed and it is quiet again, or when ctx ends.
func (d *Folder) wait(ctx context.Context, w *folderWatch) {
	var events <-chan fsnotify.Event
	var lost <-chan error
	var settled, patience, poll <-chan time.Time
	if w == nil {
		poll = time.After(d.poll)
	} else {
		events, lost = w.watcher.Events, w.watcher.Errors
	}
	changed := func() {
		settled = time.After(d.settle)
		if patience == nil {
			patience = time.After(d.patience)
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
		case <-settled:
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
