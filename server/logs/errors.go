package logs

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// errorLimit is how many failures of a block are logged one by one in a second; of the others only their number is,
// because a client that makes queries fail must not be able to fill a disk.
const errorLimit = 10

// ErrorLog writes the failures of a block (directive errors): each as it comes, or the sum of those that match a
// pattern. Any number of goroutines may log to it; Run writes the sums.
type ErrorLog struct {
	slog.Handler
	rules []*errorRule // one for each `consolidate`, and one for the rest
}

// errorRule counts the messages that match. The first of a period starts its clock.
type errorRule struct {
	Consolidate               // Pattern nil for all
	shows       int           // how many messages of a period, its first ones, are written at once
	begun       chan struct{} // takes one element for each period

	mu    sync.Mutex
	count int // of this period
	ended bool
}

// NewErrorLog is where a block's failures go; nil, for nowhere, without the directive.
func NewErrorLog(c *Errors, log *slog.Logger) *ErrorLog {
	if c == nil {
		return nil
	}
	h := &ErrorLog{Handler: log.Handler()}
	for _, rule := range c.Consolidate {
		shows := 0
		if rule.ShowFirst {
			shows = 1
		}
		h.rules = append(h.rules, newErrorRule(rule, shows))
	}
	h.rules = append(h.rules, newErrorRule(Consolidate{Period: time.Second, Level: slog.LevelError}, errorLimit))
	return h
}

func newErrorRule(c Consolidate, shows int) *errorRule {
	return &errorRule{Consolidate: c, shows: shows, begun: make(chan struct{}, 1)}
}

// Run writes sums until ctx ends, and then those of the periods that have begun.
func (h *ErrorLog) Run(ctx context.Context) {
	var summing sync.WaitGroup
	for _, rule := range h.rules {
		summing.Go(func() { rule.run(ctx, h) })
	}
	summing.Wait()
}

// Handle implements slog.Handler: the first rule that matches takes the message. Patterns see what is behind "RCODE NAME
// TYPE: ", as in CoreDNS, where an anchored one would match nothing else.
func (h *ErrorLog) Handle(_ context.Context, r slog.Record) error {
	_, failure, _ := strings.Cut(r.Message, ": ")
	for _, rule := range h.rules {
		if rule.Pattern == nil || rule.Pattern.MatchString(failure) {
			if rule.take() {
				h.write(rule.Level, r.Message)
			}
			break
		}
	}
	return nil
}

// write writes a line as CoreDNS's plugin does.
func (h *ErrorLog) write(level slog.Level, message string) {
	slog.New(h.Handler).Log(context.Background(), level, "plugin/errors: "+message)
}

// take counts one message and reports whether it is to be written at once. After Run has ended, every message is.
func (e *errorRule) take() (shown bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return true
	}
	if e.count++; e.count == 1 {
		e.begun <- struct{}{} // there is room: run took the element of the last period before it ended that period
	}
	return e.count <= e.shows
}

// run ends each period, the last one with ctx.
func (e *errorRule) run(ctx context.Context, to *ErrorLog) {
	for last := false; !last; {
		select {
		case <-ctx.Done():
		case <-e.begun:
			select {
			case <-ctx.Done():
			case <-time.After(e.Period):
			}
		}
		last = ctx.Err() != nil
		if sum := e.sum(last); sum != "" {
			to.write(e.Level, sum)
		}
	}
}

// sum ends a period. It is the line for the messages that were not written at once, "" when there were none.
func (e *errorRule) sum(last bool) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	count := e.count
	e.count, e.ended = 0, last
	switch {
	case count <= e.shows:
		return ""
	case e.Pattern == nil:
		return fmt.Sprintf("%d more errors occurred in last %s", count-e.shows, e.Period)
	}
	return fmt.Sprintf("%d errors like '%s' occurred in last %s", count, e.Pattern, e.Period)
}
