package feed

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/zones/general"
)

// FileOptions are a zone in a file.
type FileOptions struct {
	Name   string        // of the file
	Zone   string        // such as "example.org."
	Reload time.Duration // how often the file is looked at; 0 never
	ByTime bool          // take a changed file also if its serial is the old one
}

// File is a zone that a file has.
type File struct {
	*general.Place
	options  FileOptions
	log      *slog.Logger
	failures atomic.Uint64
	changed  atomic.Int64 // Unix time in nanoseconds of the file in use

	loading sync.Mutex  // guards what follows
	last    fs.FileInfo // of the file that was read last; nil before
	fault   string      // why the file is not taken; "" if it is
}

// NewFile reads the file. A missing one is no error: it may appear later.
func NewFile(options FileOptions, log *slog.Logger) (*File, error) {
	f := &File{Place: general.NewPlace(), options: options, log: log}
	if err := f.read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return f, nil
}

// Run follows the file until ctx ends.
func (f *File) Run(ctx context.Context) { every(ctx, f.options.Reload, f.Load) }

// every calls do at each interval, until ctx ends; 0 is never.
func every(ctx context.Context, interval time.Duration, do func()) {
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

// Load reads the file if it has changed. If it cannot be read or is broken, the zone stays as it is. Each reason is
// logged once.
func (f *File) Load() {
	f.loading.Lock()
	defer f.loading.Unlock()
	err := f.read()
	if err == nil {
		f.fault = ""
		return
	}
	f.failures.Add(1)
	if err.Error() != f.fault {
		f.fault = err.Error()
		f.log.Warn("zone file is not taken, what was read before stays", "zone", f.options.Zone, "file", f.options.Name,
			"error", err)
	}
}

// read takes the file if it has changed.
func (f *File) read() error {
	file, err := os.Open(f.options.Name)
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
	case f.last != nil && sameContent(f.last, now):
		if f.fault != "" {
			return errors.New(f.fault)
		}
		return nil
	}
	f.last = now
	z, outside, err := Parse(file, f.options.Name, f.options.Zone, nil)
	if err != nil {
		return err
	}
	if outside > 0 {
		f.log.Warn("zone file has records that are not in the zone", "zone", f.options.Zone, "file", f.options.Name,
			"records", outside)
	}
	if old := f.Zone(); old != nil && old.Serial() == z.Serial() && !f.options.ByTime {
		return errors.New("the file has changed, but not the serial of its SOA record")
	}
	f.Publish(z)
	f.changed.Store(now.ModTime().UnixNano())
	return nil
}

// sameContent reports whether before and now are of the same, unchanged file.
func sameContent(before, now fs.FileInfo) bool {
	return os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}

// Counts are what a zone has and what was counted of it.
type Counts struct {
	Zone      string
	From      string // the file, or "" for primaries
	Serial    uint32 // 0 without a zone
	Records   int
	Size      int
	Served    bool
	Failures  uint64
	Transfers *TransferCounts // of a secondary
}

func counts(zone, from string, z *general.Zone, failures uint64) Counts {
	c := Counts{Zone: zone, From: from, Served: z != nil, Failures: failures}
	if z != nil {
		c.Serial, c.Records, c.Size = z.Serial(), z.Records(), z.Size()
	}
	return c
}

// Counts are those of the file's zone.
func (f *File) Counts() Counts {
	return counts(f.options.Zone, f.options.Name, f.Zone(), f.failures.Load())
}

// ZoneName is the zone's name.
func (f *File) ZoneName() string { return f.options.Zone }
