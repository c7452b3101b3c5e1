package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// lineWriter passes lines on to a writer that may be slow or stuck, such as a pipe that nobody reads: who logs never waits for it. What does
// not fit in its queue is dropped and counted.
type lineWriter struct {
	out     io.Writer
	lines   chan []byte
	dropped atomic.Uint64
}

// queuedLines is how many of the server's own lines may wait to be written.
const queuedLines = 1024

func newLineWriter(out io.Writer) *lineWriter {
	return &lineWriter{out: out, lines: make(chan []byte, queuedLines)}
}

// Write implements io.Writer for whole lines. It never blocks and never fails.
func (w *lineWriter) Write(line []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(line):
	default:
		w.dropped.Add(1)
	}
	return len(line), nil
}

// run writes until ctx ends, and then what is left.
func (w *lineWriter) run(ctx context.Context) {
	for {
		select {
		case line := <-w.lines:
			w.out.Write(line)
			if n := w.dropped.Swap(0); n > 0 {
				fmt.Fprintf(w.out, "[WARNING] %d log lines dropped: they came faster than they could be written\n", n)
			}
		case <-ctx.Done():
			for len(w.lines) > 0 {
				w.out.Write(<-w.lines)
			}
			return
		}
	}
}

// LogHandler prints the server's own messages as CoreDNS does, "[INFO] text", with the attributes behind it as key=value.
type LogHandler struct {
	mu     *sync.Mutex
	out    io.Writer
	level  slog.Leveler
	prefix string // of keys, from groups
	attrs  string // already printed
}

// NewLogHandler writes messages of at least level to out, one Write for each.
func NewLogHandler(out io.Writer, level slog.Leveler) *LogHandler {
	return &LogHandler{mu: &sync.Mutex{}, out: out, level: level}
}

// Enabled implements slog.Handler.
func (h *LogHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *LogHandler) Handle(_ context.Context, r slog.Record) error {
	line := []byte("[" + levelName(r.Level) + "] " + r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		line = appendAttr(line, h.prefix, a)
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.out.Write(append(line, '\n'))
	return err
}

// WithAttrs implements slog.Handler.
func (h *LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.attrs = string(appendAttr([]byte(with.attrs), h.prefix, a))
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *LogHandler) WithGroup(name string) slog.Handler {
	with := *h
	if name != "" {
		with.prefix += name + "."
	}
	return &with
}

func levelName(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "ERROR"
	case level >= slog.LevelWarn:
		return "WARNING"
	case level >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

func appendAttr(line []byte, prefix string, a slog.Attr) []byte {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			line = appendAttr(line, prefix, member)
		}
		return line
	}
	if a.Equal(slog.Attr{}) {
		return line
	}
	line = append(append(append(append(line, ' '), prefix...), a.Key...), '=')
	text := value.String()
	if text == "" || strings.ContainsAny(text, " =\"\n\t") {
		return strconv.AppendQuote(line, text)
	}
	return append(line, text...)
}
