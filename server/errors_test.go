package server

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterdns/clusterdns/server/config"
)

// TestErrorLog holds the lines of the directive errors to CoreDNS's: alone, as a sum, and as a first one followed by the sum.
func TestErrorLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := newErrorLog(&config.Errors{Consolidate: []config.Consolidate{
			{Period: 30 * time.Second, Pattern: regexp.MustCompile(`timeout$`), Level: slog.LevelWarn},
			{Period: time.Minute, Pattern: regexp.MustCompile(`refused$`), Level: slog.LevelInfo, ShowFirst: true},
		}}, slog.New(NewLogHandler(&out, slog.LevelInfo)))
		for range 3 {
			log.Error("2 a.example. A: timeout")
		}
		log.Error("2 b.example. A: refused")
		log.Error("2 c.example. A: something else")
		time.Sleep(2 * time.Minute)
		log.Error("2 d.example. A: refused")
		log.Error("2 d.example. A: refused")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		want := `[INFO] plugin/errors: 2 b.example. A: refused
[ERROR] plugin/errors: 2 c.example. A: something else
[WARNING] plugin/errors: 3 errors like 'timeout$' occurred in last 30s
[INFO] plugin/errors: 2 d.example. A: refused
[INFO] plugin/errors: 2 errors like 'refused$' occurred in last 1m0s
`
		if out.String() != want {
			t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
		}
	})
	if newErrorLog(nil, slog.Default()) != nil {
		t.Error("failures are told without the directive")
	}
}
