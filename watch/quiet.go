package watch

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quiet hands on what client-go logs of one kind, at most one line a minute: while the API server is away every attempt fails, and
// each has the same to say. Debug messages, which somebody asked for, are all handed on.
type quiet struct {
	slog.Handler
	*spell
}

// spell is the time since a line was handed on.
type spell struct {
	mu      sync.Mutex
	began   time.Time // zero before the first line
	omitted int
}

const spellLength = time.Minute

func newQuiet(to slog.Handler) slog.Handler { return quiet{to, &spell{}} }

// Handle implements slog.Handler. A line says how many were left out since the last one.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		omitted, ok := q.next(r.Time)
		if !ok {
			return nil
		}
		if omitted > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("omitted", omitted))
		}
	}
	return q.Handler.Handle(ctx, r)
}

// next begins a new spell, unless the last one still runs.
func (s *spell) next(now time.Time) (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.began.IsZero() && now.Sub(s.began) < spellLength {
		s.omitted++
		return 0, false
	}
	omitted = s.omitted
	s.began, s.omitted = now, 0
	return omitted, true
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.spell}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name), q.spell} }
