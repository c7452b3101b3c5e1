package logs

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// bufferedLines is how many lines one Buffer may be ahead of the writer, 1.5 MB; further lines are dropped and
	// counted.
	bufferedLines = 4096
	// writePause is how long the writer collects lines before it writes again.
	writePause = 10 * time.Millisecond
)

// QueryLog writes the lines of the directive log. Workers leave records in buffers of their own; one goroutine, Run,
// formats them. A slow disk or terminal costs lines, never queries.
type QueryLog struct {
	out      io.Writer
	dropped  atomic.Uint64
	sleeping atomic.Bool // the writer sleeps until wake
	wake     chan struct{}

	mu      sync.Mutex
	buffers []*Buffer
}

// NewQueryLog writes to out, each time one or more whole lines.
func NewQueryLog(out io.Writer) *QueryLog {
	return &QueryLog{out: out, wake: make(chan struct{}, 1)}
}

// Dropped is how many lines were dropped because the writer could not keep up.
func (l *QueryLog) Dropped() uint64 { return l.dropped.Load() }

// Run writes until ctx ends, and then what is left. End the listeners first.
func (l *QueryLog) Run(ctx context.Context) {
	var text []byte
	var records []record
	for {
		l.sleeping.Store(true) // before the last look, so that a record that is added after it wakes us
		wrote := false
		for _, b := range l.all() {
			records = b.swap(records)
			text = l.write(text, records)
			wrote = wrote || len(records) > 0
			l.forget(b)
		}
		if len(text) > 0 {
			l.out.Write(text) // a full disk is no reason to stop answering
			text = text[:0]
		}
		if !l.sleep(ctx, wrote) && !wrote {
			return
		}
	}
}

// write appends the lines of records to text, and writes it when it is long. It returns the text that is not yet
// written.
func (l *QueryLog) write(text []byte, records []record) []byte {
	const long = 1 << 16
	for i := range records {
		text = append(records[i].format.append(text, &records[i]), '\n')
		if len(text) > long {
			l.out.Write(text)
			text = text[:0]
		}
	}
	return text
}

// sleep waits for records, or for a moment if it has just written some. It reports whether ctx has not ended.
func (l *QueryLog) sleep(ctx context.Context, wrote bool) bool {
	var pause <-chan time.Time
	wake := l.wake
	if wrote {
		l.sleeping.Store(false)
		pause, wake = time.After(writePause), nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-pause:
	}
	return true
}

// Buffer makes a buffer for one worker; nil for no log.
func (l *QueryLog) Buffer() *Buffer {
	if l == nil {
		return nil
	}
	b := &Buffer{log: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffers = append(l.buffers, b)
	return b
}

// forget drops a buffer whose worker has ended, once it is empty.
func (l *QueryLog) forget(b *Buffer) {
	b.mu.Lock()
	gone := b.ended && len(b.records) == 0
	b.mu.Unlock()
	if gone {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.buffers = slices.DeleteFunc(slices.Clone(l.buffers), func(other *Buffer) bool { return other == b })
	}
}

// all is every buffer in use.
func (l *QueryLog) all() []*Buffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffers[:len(l.buffers):len(l.buffers)]
}

// Buffer holds the records of one worker, or of several that log rarely, until they are written: at most bufferedLines.
// The writer takes them all at once by exchanging slices, so that the lock is held only for a moment.
type Buffer struct {
	log     *QueryLog
	mu      sync.Mutex
	records []record
	ended   bool
}

// End says that no more records come.
func (b *Buffer) End() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// add copies records and wakes the writer if it sleeps.
func (b *Buffer) add(records []record) {
	b.mu.Lock()
	fit := min(len(records), bufferedLines-len(b.records))
	b.records = append(b.records, records[:fit]...)
	b.mu.Unlock()
	if fit < len(records) {
		b.log.dropped.Add(uint64(len(records) - fit))
	}
	if b.log.sleeping.Load() && b.log.sleeping.CompareAndSwap(true, false) {
		select {
		case b.log.wake <- struct{}{}:
		default:
		}
	}
}

// swap returns the records and leaves empty in their place.
func (b *Buffer) swap(empty []record) []record {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.records
	b.records = empty[:0]
	return full
}
