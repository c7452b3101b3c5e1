package watch

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// lines is a log of text lines without times.
func lines(out *strings.Builder, level slog.Level) slog.Handler {
	return slog.NewTextHandler(
		out,
		&slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}},
	)
}

func never() bool { return false }

func TestQuietLogHasOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		services := logr.FromSlogHandler(newQuiet(lines(&out, slog.LevelInfo), never))
		pods := logr.FromSlogHandler(newQuiet(lines(&out, slog.LevelInfo), never))
		for range 130 { // seconds
			services.WithName("services").Error(errors.New("refused"), "failed")
			services.WithValues("attempt", 1).Info("retrying")
			services.V(4).Info("not shown")
			time.Sleep(time.Second)
		}
		pods.Error(context.Canceled, "ended by this server, which says nothing")
		pods.Info("another kind has minutes of its own")
		want := `level=ERROR msg="kubernetes: failed" logger=services err=refused
level=ERROR msg="kubernetes: failed" logger=services err=refused omitted=119
level=ERROR msg="kubernetes: failed" logger=services err=refused omitted=119
level=INFO msg="kubernetes: another kind has minutes of its own"
`
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
	})
}

func TestQuietLogHandsOnDebugMessages(t *testing.T) {
	var out strings.Builder
	log := logr.FromSlogHandler(newQuiet(lines(&out, slog.Level(-4)), never))
	for range 5 {
		log.V(4).Info("in detail")
	}
	if n := strings.Count(out.String(), "\n"); n != 5 {
		t.Errorf("%d lines, want 5:\n%s", n, out.String())
	}
}

// TestOutageIsLoggedOnceAMinute lets client-go meet an API server that is away for ten minutes.
func TestOutageIsLoggedOnceAMinute(t *testing.T) {
	p := &player{watch: func(int, *stream, metav1.ListOptions) error { return syscall.ECONNREFUSED }}
	var out strings.Builder
	defer oneHandler()()
	synctest.Test(t, func(t *testing.T) {
		s, err := newState(Options{}, zones.NewIndex(), slog.New(lines(&out, slog.LevelInfo)))
		must(t, err)
		var client cache.ListerWatcherWithContext = p.client()
		a := &apiServer{
			state: s,
			kinds: []*reflected{s.reflect(&object.Resources[0], client), s.reflect(&object.Resources[2], client)},
		}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute-time.Second)
		defer stop()
		a.run(ctx)
	})
	attempts := len(p.requests())
	t.Logf(
		"%d attempts, %d lines, such as\n%s",
		attempts,
		strings.Count(out.String(), "\n"),
		out.String()[:strings.IndexByte(out.String(), '\n')+1],
	)
	const want = "API server : connection refused: nothing listens there: start it, or correct the address in " +
		"the pod's service account"
	if n := strings.Count(out.String(), want); n != strings.Count(out.String(), "\n") || n < 9 || n > 10 {
		t.Errorf("%d lines in 10 minutes, want one a minute, for both kinds:\n%s", n, out.String())
	}
}
