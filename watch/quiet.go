package watch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

// quiet hands on what client-go logs of one kind, at most one line a minute: while the API server is away every attempt
// fails for the same reason. What is said already, in better words, is not handed on, nor that this server has ended a
// request itself. Debug messages, which are off by default, are all handed on.
type quiet struct {
	slog.Handler
	*observe.Limiter
	said func() bool // troubles have the reason
}

// window is the time in which one line of a kind is handed on.
const window = time.Minute

func newQuiet(to slog.Handler, said func() bool) slog.Handler {
	return quiet{to, new(observe.Limiter), said}
}

// Handle implements slog.Handler. A line has the number of those that were omitted since the last one.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		if q.said() || isCancelled(r) {
			return nil
		}
		omitted, ok := q.Allow(r.Time, window)
		if !ok {
			return nil
		}
		if omitted > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("omitted", omitted))
		}
	}
	r.Message = "kubernetes: " + r.Message
	return q.Handler.Handle(ctx, r)
}

// isCancelled reports whether a line says that this server has ended a request itself: of a command that has read what it
// needs, where the lists of an API server before 1.32 are not streamed, and at the end of a server.
func isCancelled(r slog.Record) (is bool) {
	r.Attrs(func(a slog.Attr) bool {
		err, _ := a.Value.Any().(error)
		is = is || errors.Is(err, context.Canceled)
		return !is
	})
	return is
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.Limiter, q.said}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{q.Handler.WithGroup(name), q.Limiter, q.said}
}
