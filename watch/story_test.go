package watch_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/testdata/stories"
	"github.com/clusterdns/clusterdns/watch"
	"github.com/clusterdns/clusterdns/zones"
)

// TestStories tells the stories of testdata/stories from their cluster to their records.
func TestStories(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	stories.Run(t, "../testdata/stories", (*stories.Story).HasCluster, tell)
}

func tell(t *testing.T, s *stories.Story) {
	name, text := s.Lay(t, "127.0.0.1:53")
	c, err := config.Parse(name, []byte(text), config.Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	view, source := first(t, c)
	log := &warnings{}
	records, imports := compiled(t, view, view.Zones[0], source.Objects, log), ""
	if !s.Writes("name: kubernetes") {
		records = withoutOwn(records)
	}
	if len(view.MultiCluster) > 0 {
		imports = compiled(t, view, view.MultiCluster[0], source.Imports, &warnings{})
	}
	logged := strings.ReplaceAll(log.String(), source.Objects.Manifests+"/", "")
	for _, got := range []struct{ section, text string }{
		{"records", records}, {"imports", imports}, {"warnings", logged},
	} {
		want, _ := s.Section(got.section)
		if diff := cmp.Diff(want, got.text); diff == "" {
			continue
		} else if *stories.Update {
			s.SetSection(t, got.section, got.text)
		} else {
			t.Errorf("%s (-want +got):\n%s", got.section, diff)
		}
	}
}

// withoutOwn leaves out the service of the API server, which every cluster has and few stories are about.
func withoutOwn(records string) string {
	var kept strings.Builder
	for line := range strings.Lines(records) {
		if !strings.Contains(line, "kubernetes.default.svc.") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// first is the first kubernetes directive. The others of a story are views of the same objects.
func first(t *testing.T, c *config.Config) (*resolver.Kubernetes, *config.Source) {
	for _, l := range c.Listeners {
		for i := range l.Blocks {
			if b := &l.Blocks[i]; len(b.Sources) > 0 {
				return &b.Steps.Kubernetes[0], &b.Sources[0]
			}
		}
	}
	t.Fatal("the Corefile has no kubernetes directive")
	return nil, nil
}

// compiled reads objects of the cluster, and gives the records of a zone that they compile to.
func compiled(
	t *testing.T,
	view *resolver.Kubernetes,
	zone string,
	from watch.Options,
	log *warnings,
) (records string) {
	index := zones.NewIndex()
	source, err := watch.New(from, index, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	var running sync.WaitGroup
	running.Go(func() { source.Run(ctx) })
	err = source.Wait(ctx, from.Required())
	stop()
	running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := index.Snapshot().WriteText(&out, zone, uint32(view.TTL.Seconds())); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// warnings is a log handler that keeps the words of what is logged as a warning or worse.
type warnings struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler               { return w }
func (w *warnings) WithGroup(string) slog.Handler                    { return w }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		w.text.WriteString(" " + a.String())
		return true
	})
	w.text.WriteByte('\n')
	return nil
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
