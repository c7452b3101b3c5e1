package watch

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// TestAbsentResourceIsAwaited: of a custom resource that is not installed there are no objects, which is said once. They
// are read when it is installed, and forgotten some seconds after it was taken away, for good or for the moment that an
// API server starts.
func TestAbsentResourceIsAwaited(t *testing.T) {
	const hour = 3600
	installed := func(at time.Duration) bool {
		return at >= hour*time.Second && at < 2*hour*time.Second || at >= 3*hour*time.Second
	}
	p := &player{now: "1"}
	p.watch = func(_ int, s *stream, o metav1.ListOptions) error {
		if !installed(time.Since(p.began)) {
			return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "")
		}
		go func() {
			if o.SendInitialEvents != nil {
				s.begin("1")
			}
			for {
				s.pause(time.Minute)
				if s.ctx.Err() != nil || !installed(time.Since(p.began)) {
					close(s.events)
					return
				}
				s.send(watch.Bookmark, "", "1", false)
			}
		}()
		return nil
	}
	r := object.Resources[slices.IndexFunc(object.Resources, func(r object.Resource) bool { return r.Kind == zones.Namespaces })]
	r.Optional = true
	var out strings.Builder
	followAs(t, p, &r, lines(&out, slog.LevelInfo), func(s *state) {
		expect := func(at time.Duration, synced bool, names ...string) {
			t.Helper()
			time.Sleep(at - time.Since(p.began))
			synctest.Wait()
			s.mu.Lock()
			read := s.synced&zones.Namespaces != 0
			s.mu.Unlock()
			if got := s.names(); !slices.Equal(got, names) || read != synced {
				t.Errorf("after %v: %v, read %v; want %v, %v", at, got, read, names, synced)
			}
			if idle := s.alive[0].idle(); idle > time.Minute {
				t.Errorf("after %v: idle for %v", at, idle)
			}
		}
		expect(time.Second, true)
		expect(hour*time.Second-time.Second, true)
		expect(hour*time.Second+absence, true, "prod")
		expect(2*hour*time.Second-time.Second, true, "prod")
		expect(2*hour*time.Second+2*time.Minute, true)
		expect(3*hour*time.Second+absence, true, "prod")
	})
	log := out.String()
	if got := strings.Count(log, "is not installed"); got != 2 {
		t.Errorf("said %d times that it is not installed, want twice:\n%s", got, log)
	}
	if got := strings.Count(log, "is installed"); got != 2 {
		t.Errorf("said %d times that it is installed, want twice:\n%s", got, log)
	}
	if n := strings.Count(log, "\n"); n > 8 {
		t.Errorf("%d lines:\n%s", n, log)
	}
}

// TestForbiddenThenAbsent: the reason why a custom resource could not be read ends when it turns out to be not installed.
func TestForbiddenThenAbsent(t *testing.T) {
	p := &player{now: "1"}
	p.watch = func(int, *stream, metav1.ListOptions) error {
		if time.Since(p.began) < time.Hour {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "namespaces"}, "", nil)
		}
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "")
	}
	r := object.Resources[slices.IndexFunc(object.Resources, func(r object.Resource) bool { return r.Kind == zones.Namespaces })]
	r.Optional = true
	followAs(t, p, &r, slog.DiscardHandler, func(s *state) {
		time.Sleep(time.Minute)
		if got := s.index.Trouble(); !strings.Contains(got, "403") {
			t.Errorf("while it is forbidden: %q", got)
		}
		time.Sleep(2 * time.Hour)
		if got := s.index.Trouble(); got != "" {
			t.Errorf("when it is not installed: %q", got)
		}
	})
}

// TestMissingPermissionIsNamed: what a role lacks is said once a minute, in the words of the role, until it is there.
func TestMissingPermissionIsNamed(t *testing.T) {
	p := &player{now: "1", watch: func(int, *stream, metav1.ListOptions) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "ingresses"}, "", nil)
	}}
	r := object.Resources[slices.IndexFunc(object.Resources, func(r object.Resource) bool { return r.Kind == zones.Ingresses })]
	var out strings.Builder
	followAs(t, p, &r, lines(&out, slog.LevelWarn), func(s *state) { time.Sleep(10 * time.Minute) })
	const want = `{apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [list, watch]}`
	if log := out.String(); strings.Count(log, want) != strings.Count(log, "\n") || strings.Count(log, want) > 10 {
		t.Errorf("want once a minute %s in\n%s", want, log)
	}
}
