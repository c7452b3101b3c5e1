package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"
)

// Writer passes lines on to a writer that may be slow or blocked, such as a pipe that nobody reads: whoever logs never
// waits for it. Lines that do not fit in its queue are dropped and counted.
type Writer struct {
	out     io.Writer
	lines   chan []byte
	dropped atomic.Uint64
}

// queuedLines is how many of the server's own lines may wait to be written.
const queuedLines = 1024

// NewWriter writes to out, one Write for each line.
func NewWriter(out io.Writer) *Writer {
	return &Writer{out: out, lines: make(chan []byte, queuedLines)}
}

// Write implements io.Writer for whole lines. It never blocks and never fails.
func (w *Writer) Write(line []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

// Run writes until ctx ends, and then what is left.
func (w *Writer) Run(ctx context.Context) {
	for {
		select {
		case line := <-w.lines:
			w.out.Write(line)
			if n := w.dropped.Swap(0); n > 0 {
				fmt.Fprintf(w.out, "[WARNING] logs: %d lines dropped: they came faster than they could be written\n", n)
			}
		case <-ctx.Done():
			for len(w.lines) > 0 {
				w.out.Write(<-w.lines)
			}
			return
		}
	}
}
