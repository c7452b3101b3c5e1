package server

import (
	"context"
	"io"
	"net"
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

// An admin endpoint has no more connections than its bound, and takes the next one when one ends.
func TestAdminConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &boundedListener{inner, make(chan struct{}, 1)}
	defer l.Close()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	defer dial().Close()
	defer dial().Close()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if len(l.slots) != 1 {
		t.Fatal("a connection takes no slot")
	}
	first.Close()
	first.Close() // gives its slot back once
	second, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if len(l.slots) != 1 {
		t.Errorf("%d slots are taken by one connection", len(l.slots))
	}
}
