package server

import (
	"context"
	"io"
	"testing"
	"time"
)

// Nobody reads the log: who writes to it goes on, and so does the end of the program.
func TestLineWriterNeverBlocks(t *testing.T) {
	reader, stuck := io.Pipe()
	defer reader.Close()
	w := newLineWriter(stuck)
	writing := start(context.Background(), w.run)
	for range queuedLines + 10 {
		w.Write([]byte("line\n"))
	}
	if w.dropped.Load() == 0 {
		t.Error("no line was dropped, and none could be written")
	}
	writing.stopWithin(time.Millisecond) // run is in a write that never ends
	reader.Close()
	<-writing.done
}
