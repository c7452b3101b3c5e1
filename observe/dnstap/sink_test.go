package dnstap

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stream is the reader's end of a connection.
type stream struct {
	t    *testing.T
	conn net.Conn
}

// open takes part in the handshake, whichever side has connected.
func open(t *testing.T, conn net.Conn) *stream {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	s := &stream{t, conn}
	s.control(controlReady)
	if _, err := conn.Write(control(controlAccept)); err != nil {
		t.Fatal(err)
	}
	s.control(controlStart)
	return s
}

func (s *stream) control(kind uint32) {
	s.t.Helper()
	if err := readControl(s.conn, kind); err != nil {
		s.t.Fatal(err)
	}
}

// frame is the next frame of data; nil for a frame of control that stops the stream.
func (s *stream) frame() []byte {
	s.t.Helper()
	var head [frameHead]byte
	if _, err := io.ReadFull(s.conn, head[:]); err != nil {
		s.t.Fatal(err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size == 0 {
		if err := readControl(io.MultiReader(bytes.NewReader(head[:]), s.conn), controlStop); err != nil {
			s.t.Fatal(err)
		}
		return nil
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(s.conn, frame); err != nil {
		s.t.Fatal(err)
	}
	return frame
}

// expect fails unless the next frame has text.
func (s *stream) expect(text string) {
	s.t.Helper()
	if frame := s.frame(); !bytes.Contains(frame, []byte(text)) {
		s.t.Errorf("%q has no %q", frame, text)
	}
}

// said is lines of a log, as they come.
type said chan string

func (s said) Write(line []byte) (int, error) {
	s <- string(line)
	return len(line), nil
}

func (s said) expect(t *testing.T, text string) {
	t.Helper()
	select {
	case line := <-s:
		if !strings.Contains(line, text) {
			t.Errorf("the log says %q, not %q", line, text)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the log does not say %q", text)
	}
}

// running is a Sink that runs until end is called, or the test ends.
func running(t *testing.T, o Options) (s *Sink, log said, end func()) {
	t.Helper()
	log = make(said, 100)
	s = New(o, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	end = func() { cancel(); <-ended }
	t.Cleanup(end)
	return s, log, end
}

func note(text string) *Message { return &Message{Type: ClientQuery, Extra: []byte(text)} }

// TestSinkComesBack: a reader that goes away is said once, what fits into the queue meanwhile is sent when it is back, and
// at the end it gets what is left and is told that nothing follows.
func TestSinkComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s, log, end := running(t, Options{Network: "unix", Address: path})
	accept := func() *stream {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return open(t, conn)
	}
	r := accept()
	s.Add(note("one"))
	r.expect("one")
	l.Close()
	r.conn.Close()
	log.expect(t, "no sink")
	s.Add(note("two"))
	if l, err = net.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r = accept()
	log.expect(t, "is back")
	r.expect("two")
	s.Add(note("three"))
	go end()
	r.expect("three")
	if frame := r.frame(); frame != nil {
		t.Errorf("%q follows", frame)
	}
	r.conn.Write(control(controlFinish))
	end()
	if c := s.Counts(); c.Sent != 3 || c.Dropped != 0 || c.Readers != 0 {
		t.Errorf("%+v", c)
	}
	if len(log) > 0 {
		t.Errorf("the log says %q, too", <-log)
	}
}

// TestSinkRefuses: who is no reader of Frame Streams, or not of dnstap, is no sink.
func TestSinkRefuses(t *testing.T) {
	foreign := bytes.Replace(control(controlAccept), []byte("protobuf:"), []byte("protobuF:"), 1)
	for name, answer := range map[string][]byte{
		"no frame of control": []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "another content": foreign, "another kind": control(controlReady),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sock")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			_, log, _ := running(t, Options{Network: "unix", Address: path})
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write(answer)
			log.expect(t, "no sink")
		})
	}
}

// TestQueueIsBounded: without a reader, messages beyond the bound are dropped and counted, and cost no memory.
func TestQueueIsBounded(t *testing.T) {
	const limit = 3 * chunkSize
	s := New(Options{Network: "unix", Address: "nowhere", Queue: limit}, slog.New(slog.DiscardHandler))
	m := &Message{Type: ClientResponse, Identity: "a", Query: make([]byte, 1000), Asked: time.Now(),
		Initiator: netip.MustParseAddrPort("[2001:db8::1]:53")}
	const tries = 1000
	for range tries {
		s.Add(m)
	}
	q := s.queues[0]
	kept := uint64(q.open.messages)
	for _, c := range q.full {
		kept += uint64(c.messages)
	}
	if d := s.Counts().Dropped; d+kept != tries || d == 0 || kept < 150 || q.octets > limit {
		t.Errorf("%d dropped and %d kept of %d, in %d octets", d, kept, tries, q.octets)
	}
	if n := testing.AllocsPerRun(1000, func() { s.Add(m) }); n != 0 {
		t.Errorf("a message that does not fit allocates %v times", n)
	}
	for c := q.take(); c.messages > 0; c = q.take() {
		q.done(c)
	}
	if q.octets != 0 {
		t.Errorf("%d octets are left of nothing", q.octets)
	}
	if n := testing.AllocsPerRun(40, func() { s.Add(m) }); n != 0 {
		t.Errorf("a message that fits allocates %v times", n)
	}
}

// TestReaders: each reader that connects gets what comes from then on, and one that has gone costs nothing.
func TestReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as after a crash
	stale.Close()
	s, log, _ := running(t, Options{Network: "unix", Address: path, Listen: true})
	dial := func() (r *stream) {
		for {
			if conn, err := net.Dial("unix", path); err == nil {
				r = open(t, conn)
				break
			}
			time.Sleep(time.Millisecond)
		}
		return r
	}
	readers := func(n int) {
		for s.Counts().Readers != n {
			time.Sleep(time.Millisecond)
		}
	}
	one := dial()
	readers(1)
	s.Add(note("one"))
	one.expect("one")
	two := dial()
	readers(2)
	s.Add(note("two"))
	one.expect("two")
	two.expect("two")
	one.conn.Close()
	log.expect(t, "a reader has gone")
	readers(1)
	s.Add(note("three"))
	two.expect("three")
}

func FuzzControl(f *testing.F) {
	f.Add(control(controlAccept))
	f.Add(control(controlStop))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		from := bytes.NewReader(data)
		err := readControl(from, controlAccept)
		if read := len(data) - from.Len(); read > 2*frameHead+mostControl {
			t.Errorf("%d octets read: %v", read, err)
		}
	})
}

// BenchmarkAdd is what a message costs the one who answers, with a reader that keeps up.
func BenchmarkAdd(b *testing.B) {
	s := New(Options{Network: "unix", Address: "nowhere"}, slog.New(slog.DiscardHandler))
	m := &Message{Type: ClientResponse, Identity: "dns-1", Version: "clusterdns-1.0", Initiator: netip.MustParseAddrPort("10.244.0.1:4711"),
		Asked: time.Now(), Answered: time.Now(), Response: make([]byte, 120)}
	b.ReportAllocs()
	for b.Loop() {
		s.Add(m)
		if q := s.queues[0]; len(q.full) > 0 {
			q.done(q.take())
		}
	}
}
