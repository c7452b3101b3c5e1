package logs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"testing"
	"testing/synctest"
	"time"
)

// tell hands an ErrorLog with these rules to say, in a bubble, ends it, and compares what was written.
func tell(t *testing.T, rules []Consolidate, want string, say func(log *slog.Logger, end func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := NewErrorLog(&Errors{Consolidate: rules}, slog.New(NewHandler(&out, slog.LevelInfo)))
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); h.Run(ctx) }()
		end := func() { cancel(); <-ended }
		say(slog.New(h), end)
		end()
		if out.String() != want {
			t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
		}
	})
}

// TestErrorLog holds the lines of the directive errors to CoreDNS's: alone, as a sum, and as a first one followed by
// the sum.
func TestErrorLog(t *testing.T) {
	tell(t, []Consolidate{
		{Period: 30 * time.Second, Pattern: regexp.MustCompile(`timeout$`), Level: slog.LevelWarn},
		{Period: time.Minute, Pattern: regexp.MustCompile(`refused$`), Level: slog.LevelInfo, ShowFirst: true},
		{Period: time.Minute, Pattern: regexp.MustCompile(`debug$`), Level: slog.LevelDebug, ShowFirst: true},
	}, `[INFO] plugin/errors: 2 b.example. A: refused
[ERROR] plugin/errors: 2 c.example. A: something else
[WARNING] plugin/errors: 3 errors like 'timeout$' occurred in last 30s
[INFO] plugin/errors: 2 d.example. A: refused
[INFO] plugin/errors: 2 errors like 'refused$' occurred in last 1m0s
`, func(log *slog.Logger, _ func()) {
		for range 3 {
			log.Error("2 a.example. A: timeout")
		}
		log.Error("2 b.example. A: refused")
		log.Error("2 c.example. A: something else")
		log.Error("2 c.example. A: debug")
		time.Sleep(2 * time.Minute)
		log.Error("2 d.example. A: refused")
		log.Error("2 d.example. A: refused")
		time.Sleep(2 * time.Minute)
	})
	if NewErrorLog(nil, slog.Default()) != nil {
		t.Error("failures are told without the directive")
	}
}

// What is pending at the end is said then, and what comes later is not lost.
func TestErrorLogEnds(t *testing.T) {
	tell(t, []Consolidate{
		{Period: 30 * time.Second, Pattern: regexp.MustCompile(`timeout$`), Level: slog.LevelWarn},
		{Period: time.Minute, Pattern: regexp.MustCompile(`refused$`), Level: slog.LevelInfo},
	}, `[WARNING] plugin/errors: 2 errors like 'timeout$' occurred in last 30s
[WARNING] plugin/errors: 2 b.example. A: timeout
[INFO] plugin/errors: 2 b.example. A: refused
`, func(log *slog.Logger, end func()) {
		for range 2 {
			log.Error("2 a.example. A: timeout")
		}
		end()
		log.Error("2 b.example. A: timeout")
		log.Error("2 b.example. A: refused")
	})
}

// A flood of failures is at most errorLimit lines in a second and one for all others.
func TestErrorLogIsBounded(t *testing.T) {
	lines := func(from int) (text string) {
		for i := range errorLimit {
			text += fmt.Sprintf("[ERROR] plugin/errors: 2 %d.example. A: timeout\n", from+i)
		}
		return text
	}
	tell(t, nil, lines(0)+"[ERROR] plugin/errors: 990 more errors occurred in last "+
		"1s\n"+lines(1000)+lines(2000)+"[ERROR] plugin/errors: 1 more errors occurred in last 1s\n",
		func(log *slog.Logger, _ func()) {
			for _, flood := range []struct{ from, to int }{{0, 1000}, {1000, 1000 + errorLimit}, {2000, 2001 + errorLimit}} {
				for i := flood.from; i < flood.to; i++ {
					log.Error(fmt.Sprintf("2 %d.example. A: timeout", i))
				}
				time.Sleep(2 * time.Second)
			}
		})
}
