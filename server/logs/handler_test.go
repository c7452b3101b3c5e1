package logs

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestLogHandler(t *testing.T) {
	var out strings.Builder
	logger := slog.New(NewHandler(&out, slog.LevelInfo))
	logger.Debug("not shown")
	logger.Info("plugin/reload: Running configuration SHA512 = abc")
	logger.Warn("slow", "took", "2 s", "n", 3)
	logger.With("zone", "cluster.local.").WithGroup("upstream").Error("no answer", "address", "10.0.0.1:53", "error",
		errors.New(`read "x"`), slog.Group("tls", "name", ""))
	want := `[INFO] plugin/reload: Running configuration SHA512 = abc
[WARNING] slow took="2 s" n=3
[ERROR] no answer zone=cluster.local. upstream.address=10.0.0.1:53 upstream.error="read \"x\"" upstream.tls.name=""
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
