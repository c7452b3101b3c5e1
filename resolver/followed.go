package resolver

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// followed is a file that is read again when it changes. What was read last goes on when the file cannot be read.
type followed struct {
	name      string        // "" for no file
	every     time.Duration // how often it is looked at; 0 never
	complaint string        // what is logged when it cannot be read
	log       *slog.Logger
	take      func(content []byte, changed time.Time) error // publishes what the file says

	mu    sync.Mutex  // guards what follows, and calls of take
	last  fs.FileInfo // of the file that was taken last; nil before
	fault string      // why it cannot be; "" if it can
}

// run reads the file again when it changes, until ctx ends.
func (f *followed) run(ctx context.Context) {
	if f.every <= 0 || f.name == "" {
		return
	}
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.load()
		}
	}
}

// load takes the file if it has changed.
func (f *followed) load() {
	if f.name == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.read()
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != f.fault {
		f.log.Warn(f.complaint, "file", f.name, "error", err)
	}
	f.fault = fault
}

func (f *followed) read() error {
	now, err := os.Stat(f.name)
	switch {
	case err != nil:
		return err
	case !now.Mode().IsRegular():
		return errors.New("not a regular file")
	case f.last != nil && sameContent(f.last, now):
		return nil
	}
	content, err := os.ReadFile(f.name)
	if err != nil {
		return err
	}
	if err := f.take(content, now.ModTime()); err != nil {
		return err
	}
	f.last = now
	return nil
}

// sameContent reports whether before and now are of the same, unchanged file.
func sameContent(before, now fs.FileInfo) bool {
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}
