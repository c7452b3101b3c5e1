package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/server/config"
)

// errorLimit is how many failures of a block are told one by one in a second; the others as their number. Who makes queries fail must not
// be able to fill a disk.
const errorLimit = 10

// errorLog writes the failures of a block (directive errors): as they come, or as the sum of those that are alike. Any number of goroutines
// may write to it; sums are written by run.
type errorLog struct {
	slog.Handler
	rules []*errorRule // one for each `consolidate`, and one for the rest
}

// errorRule counts the messages that are alike. The first of a period starts its clock.
type errorRule struct {
	config.Consolidate               // Pattern nil for all
	shows              int           // of the first messages of a period that are written at once
	begun              chan struct{} // takes one element for each period

	mu    sync.Mutex
	count int // of this period
	ended bool
}

// newErrorLog is where a block's failures go; nil, for nowhere, without the directive.
func newErrorLog(c *config.Errors, log *slog.Logger) *errorLog {
	if c == nil {
		return nil
	}
	h := &errorLog{Handler: log.Handler()}
	for _, alike := range c.Consolidate {
		shows := 0
		if alike.ShowFirst {
			shows = 1
		}
		h.rules = append(h.rules, newErrorRule(alike, shows))
	}
	h.rules = append(h.rules, newErrorRule(config.Consolidate{Period: time.Second, Level: slog.LevelError}, errorLimit))
	return h
}

func newErrorRule(alike config.Consolidate, shows int) *errorRule {
	return &errorRule{Consolidate: alike, shows: shows, begun: make(chan struct{}, 1)}
}

// run writes sums until ctx ends, and then those that are pending.
func (h *errorLog) run(ctx context.Context) {
	var summing sync.WaitGroup
	for _, rule := range h.rules {
		summing.Go(func() { rule.run(ctx, h) })
	}
	summing.Wait()
}

// Handle implements slog.Handler: the first rule that matches takes the message.
func (h *errorLog) Handle(_ context.Context, r slog.Record) error {
	for _, rule := range h.rules {
		if rule.Pattern == nil || rule.Pattern.MatchString(r.Message) {
			if rule.take() {
				h.say(rule.Level, r.Message)
			}
			break
		}
	}
	return nil
}

// say writes a line as CoreDNS's plugin does.
func (h *errorLog) say(level slog.Level, message string) {
	slog.New(h.Handler).Log(context.Background(), level, "plugin/errors: "+message)
}

// take counts one message and reports whether it is written at once. So is each that comes when nobody sums up any more.
func (e *errorRule) take() (shown bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return true
	}
	if e.count++; e.count == 1 {
		e.begun <- struct{}{} // run has taken the last one before it ended that period
	}
	return e.count <= e.shows
}

// run ends each period, the last one with ctx.
func (e *errorRule) run(ctx context.Context, to *errorLog) {
	for last := false; !last; {
		select {
		case <-ctx.Done():
		case <-e.begun:
			wait(ctx, e.Period)
		}
		last = ctx.Err() != nil
		if sum := e.sum(last); sum != "" {
			to.say(e.Level, sum)
		}
	}
}

// sum ends a period, and tells of the messages that have not been written: "" for none.
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
