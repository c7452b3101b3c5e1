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

// TestPanicsOfServer: CoreDNS's line, and the stack below it for those who ask for it.
func TestPanicsOfServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Panics
		for _, traced := range []bool{false, true} {
			var out bytes.Buffer
			log := slog.New(slog.NewTextHandler(&out, nil))
			for range 2 {
				func() {
					defer func() { p.CountServer(log, "dns://:53", recover(), traced) }()
					panic("scripted")
				}()
			}
			time.Sleep(time.Second)
			text := out.String()
			if strings.Count(text, "Recovered from panic in server: \\\"dns://:53\\\" scripted") != 1 ||
				strings.Contains(text, "panics_test.go") != traced || strings.Contains(text, " (and 1 more)") != traced {
				t.Errorf("traced %v: logged %q", traced, text)
			}
		}
		if n := p.Total(); n != 4 {
			t.Errorf("%d panics counted, want 4", n)
		}
	})
}
