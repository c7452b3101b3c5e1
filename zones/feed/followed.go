package feed

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Followed is a file that is read again when it changes. What was read last stays while the file cannot be read, or its
// content is refused.
type Followed struct {
	name      string        // "" for no file
	every     time.Duration // how often it is looked at; 0 never
	complaint string        // what is logged when it cannot be read or is refused
	log       *slog.Logger
	take      func(content io.Reader, changed time.Time) error
	failures  atomic.Uint64

	mu      sync.Mutex  // guards what follows, and calls of take
	last    fs.FileInfo // of the content that take saw last; nil before
	refused error       // why take did not take it
	fault   string      // what was logged last; "" once the file is in use
}

// NewFollowed follows a file for take, which reads it whole or refuses it. Name is "" for no file. The file is not read
// before Load.
func NewFollowed(name string, every time.Duration, complaint string, log *slog.Logger,
	take func(content io.Reader, changed time.Time) error) *Followed {
	return &Followed{name: name, every: every, complaint: complaint, log: log, take: take}
}

// Run reads the file again when it changes, until ctx ends.
func (f *Followed) Run(ctx context.Context) {
	if f.name != "" {
		Every(ctx, f.every, f.Load)
	}
}

// Load takes the file if it has changed. Each reason not to is logged once.
func (f *Followed) Load() {
	if f.name == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.read()
	if err == nil {
		f.fault = ""
		return
	}
	f.failures.Add(1)
	if err.Error() != f.fault {
		f.fault = err.Error()
		f.log.Warn(f.complaint, "file", f.name, "error", err)
	}
}

// read gives the file to take if it has changed.
func (f *Followed) read() error {
	file, err := os.Open(f.name)
	if err != nil {
		return err
	}
	defer file.Close()
	now, err := file.Stat()
	switch {
	case err != nil:
		return err
	case !now.Mode().IsRegular():
		return errors.New("not a regular file")
	case f.last == nil || !SameContent(f.last, now):
		f.last, f.refused = now, f.take(file, now.ModTime())
	}
	return f.refused
}

// SameContent reports whether before and now are of the same, unchanged file.
func SameContent(before, now fs.FileInfo) bool {
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}

// Every calls do at each interval, until ctx ends; 0 is never.
func Every(ctx context.Context, interval time.Duration, do func()) {
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do()
		}
	}
}
