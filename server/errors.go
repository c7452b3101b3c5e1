package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/server/config"
)

// errorLog writes the failures of a block (directive errors): as they come, or as the sum of those that are alike.
type errorLog struct {
	slog.Handler
	rules []*errorRule
}

// errorRule counts the messages that match one `consolidate`.
type errorRule struct {
	config.Consolidate
	mu    sync.Mutex
	count int
}

// newErrorLog is the logger for a block's failures; nil, for nowhere, without the directive.
func newErrorLog(c *config.Errors, log *slog.Logger) *slog.Logger {
	if c == nil {
		return nil
	}
	h := &errorLog{Handler: log.Handler()}
	for _, rule := range c.Consolidate {
		h.rules = append(h.rules, &errorRule{Consolidate: rule})
	}
	return slog.New(h)
}

// Handle implements slog.Handler: the first rule that matches takes the message.
func (h *errorLog) Handle(ctx context.Context, r slog.Record) error {
	for _, rule := range h.rules {
		if rule.Pattern.MatchString(r.Message) {
			if rule.add(ctx, h.Handler) && rule.ShowFirst {
				r.Level = rule.Level
				return h.print(ctx, r, r.Message)
			}
			return nil
		}
	}
	return h.print(ctx, r, r.Message)
}

// print writes a line as CoreDNS's plugin does.
func (h *errorLog) print(ctx context.Context, r slog.Record, message string) error {
	return h.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, "plugin/errors: "+message, 0))
}

// add counts one message. The first of a period starts the clock after which their sum is written.
func (e *errorRule) add(ctx context.Context, to slog.Handler) (first bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	if e.count > 1 {
		return false
	}
	time.AfterFunc(e.Period, func() { e.sum(ctx, to) })
	return true
}

func (e *errorRule) sum(ctx context.Context, to slog.Handler) {
	e.mu.Lock()
	count := e.count
	e.count = 0
	e.mu.Unlock()
	if e.ShowFirst && count == 1 {
		return
	}
	slog.New(to).Log(context.WithoutCancel(ctx), e.Level, fmt.Sprintf("plugin/errors: %d errors like '%s' occurred in last %s", count, e.Pattern, e.Period))
}
