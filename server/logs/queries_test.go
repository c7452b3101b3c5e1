package logs

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is an io.Writer that a test can read while others write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(strings.Lines(l.text.String()))
}

// logTo runs a query log for the length of the test.
func logTo(t *testing.T, out *lines) *QueryLog {
	log := NewQueryLog(out)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { log.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return log
}

// A writer that does not come back costs lines, and they are counted; queries are answered.
func TestSlowLogDropsLines(t *testing.T) {
	reading, writing := net.Pipe() // a write to it ends when somebody reads
	log := NewQueryLog(writing)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { log.Run(ctx); close(done) }()
	b := log.Buffer()
	r := record{format: parseFormat("x")}
	b.add([]record{r})
	for range 3 * bufferedLines {
		b.add([]record{r})
	}
	if n := log.Dropped(); n < bufferedLines {
		t.Errorf("%d lines dropped", n)
	}
	reading.Close()
	cancel()
	<-done
}

// The buffers of workers that have ended are given back.
func TestLogForgetsEndedBuffers(t *testing.T) {
	out := &lines{}
	log := logTo(t, out)
	b := log.Buffer()
	b.add([]record{{format: compile("last words", nil)}})
	b.End()
	for deadline := time.Now().Add(10 * time.Second); len(log.all()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the buffer is still there after ten seconds")
		}
	}
	if got := out.all(); len(got) != 1 || got[0] != "[INFO] last words\n" {
		t.Errorf("log %q", got)
	}
}
