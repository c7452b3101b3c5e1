package logs

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// Handler prints the server's own messages as CoreDNS does, "[INFO] text", with the attributes after it as key=value.
type Handler struct {
	mu     *sync.Mutex
	out    io.Writer
	level  slog.Leveler
	prefix string // of keys, from groups
	attrs  string // already printed
}

// NewHandler writes messages of at least level to out, one Write for each.
func NewHandler(out io.Writer, level slog.Leveler) *Handler {
	return &Handler{mu: &sync.Mutex{}, out: out, level: level}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
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
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.attrs = string(appendAttr([]byte(with.attrs), h.prefix, a))
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
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
