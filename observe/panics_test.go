package observe

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPanics: all are counted, and one line a second says how many were omitted, and where the panic was.
func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var p Panics
		logger := slog.New(slog.NewTextHandler(&out, nil))
		for _, pause := range []time.Duration{0, 300 * time.Millisecond, 699 * time.Millisecond, time.Millisecond} {
			time.Sleep(pause)
			func() {
				defer func() { p.Count(logger, "here", recover()) }()
				panic("scripted")
			}()
		}
		if n := p.Total(); n != 4 {
			t.Errorf("%d panics counted, want 4", n)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "omitted=0") || !strings.Contains(lines[1], "omitted=2") ||
			!strings.Contains(lines[0], "panics_test.go") {
			t.Errorf("logged %q", lines)
		}
	})
}
