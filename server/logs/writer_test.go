package logs

import (
	"context"
	"io"
	"testing"
	"time"
)

// Nobody reads the log: who writes to it goes on, and so does the end of the program.
func TestWriterNeverBlocks(t *testing.T) {
	reader, stuck := io.Pipe()
	defer reader.Close()
	w := NewWriter(stuck)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	for range queuedLines + 10 {
		w.Write([]byte("line\n"))
	}
	if w.dropped.Load() == 0 {
		t.Error("no line was dropped, and none could be written")
	}
	cancel()
	select {
	case <-ended:
		t.Error("Run has ended in a write that never ends")
	case <-time.After(time.Millisecond):
	}
	reader.Close()
	<-ended
}
