package feed

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
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
	*Followed
	options FileOptions
}

// errSerial says that a file is not taken since nobody would know: secondaries ask for the serial.
var errSerial = errors.New("the file has changed, but not the serial of its SOA record")

// NewFile reads the file. A missing one is no error: it may appear later.
func NewFile(options FileOptions, log *slog.Logger) (*File, error) {
	f := &File{Place: general.NewPlace(), options: options}
	f.Followed = NewFollowed(options.Name, options.Reload, "zone file is not taken, what was read before stays",
		log.With("zone", options.Zone), f.takeZone)
	if err := f.read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return f, nil
}

// takeZone publishes the zone that the file has.
func (f *File) takeZone(content io.Reader, _ time.Time) error {
	z, outside, err := Parse(content, f.options.Name, f.options.Zone, nil)
	if err != nil {
		return err
	}
	if outside > 0 {
		f.log.Warn("zone file has records that are not in the zone", "file", f.options.Name, "records", outside)
	}
	switch old := f.Zone(); {
	case old != nil && old.Equal(z): // as when a ConfigMap has changed in another key
		return nil
	case old != nil && old.Serial() == z.Serial() && !f.options.ByTime:
		return errSerial
	}
	f.Publish(z)
	return nil
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
