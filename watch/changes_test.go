package watch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/zones"
)

// TestLogChanges: after an edit of manifests the log says which records came and went, some lines of them, and nothing
// at the first reading.
func TestLogChanges(t *testing.T) {
	folder := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(folder, "a.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service := func(name, address string) string {
		return fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: shop}, spec: {clusterIP: %s, "+
			"ports: [{port: 80}]}}\n", name, address)
	}
	logged := make(chan string, 1000)
	log := slog.New(slog.NewTextHandler(lineWriter(logged), &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.MessageKey {
				return a
			}
			return slog.Attr{}
		}}))
	write(service("web", "10.96.0.7"))
	source, err := New(Options{Manifests: folder}, zones.NewIndex(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); source.Run(ctx) }()
	defer func() { cancel(); <-done }()
	if err := source.Wait(ctx, zones.ServiceKinds); err != nil {
		t.Fatal(err)
	}
	// read is what an edit logs behind the line of the reading, until and with a line.
	read := func(text, last string) (lines string) {
		write(text)
		for timeout := time.After(20 * time.Second); ; {
			select {
			case line := <-logged:
				if !strings.Contains(line, "folder read") {
					lines += line
				}
				if strings.Contains(line, last) {
					return lines
				}
			case <-timeout:
				t.Fatalf("no %q after\n%s", last, lines)
			}
		}
	}
	want := "msg=\"- web.shop A 10.96.0.7\"\nmsg=\"+ web.shop A 10.96.0.8\"\nmsg=\"+ web-2.shop A 10.96.0.9\"\n" +
		"msg=\"+ web-2.shop SRV 0 100 80 web-2.shop\"\n"
	if got := read(service("web", "10.96.0.8")+service("web-2", "10.96.0.9"), "web-2.shop SRV"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	many := ""
	for i := range 30 {
		many += service(fmt.Sprintf("many-%d", i), fmt.Sprintf("10.96.1.%d", i+1))
	}
	got := read(many, " more")
	if strings.Count(got, "\n") != loggedChanges+1 || !strings.HasSuffix(got, "msg=\"and 44 more\"\n") {
		t.Errorf("got\n%s", got)
	}
	const namespace = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: lab}}\n"
	if got := read(many+namespace, "namespace"); got != "msg=\"+ namespace lab\"\n" {
		t.Errorf("got\n%s", got)
	}
}

// lineWriter passes on what is written to it.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}
