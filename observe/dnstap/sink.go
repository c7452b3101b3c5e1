package dnstap

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

const (
	// QueueOctets is the octets of messages that wait at most for a Sink with the default queue: 10,000 messages of 512.
	QueueOctets = 10_000 * 512
	// MostReaders is how many may read from a Sink that listens at a time.
	MostReaders = 8

	handshakeTime = 4 * time.Second // for a connection and the first frames
	writeTime     = 5 * time.Second // for a chunk: a reader that takes none for so long is gone
	farewellTime  = time.Second     // for the last frames
	linger        = 100 * time.Millisecond
	firstPause    = 250 * time.Millisecond // before the next try
	longestPause  = 10 * time.Second
	steady        = 10 * time.Second // a connection that lasts so long was a good one
)

// Options say where messages go.
type Options struct {
	Network     string // unix, tcp, or tls
	Address     string // a path, or host:port
	Listen      bool   // readers connect to Address; else Address is a reader
	WriteBuffer int    // octets asked of the kernel for a connection over TCP; 0 for its own choice
	Queue       int    // octets of messages that may wait; default QueueOctets
	SkipVerify  bool   // any certificate of a reader will do, or none where Listen and CAFile ask for one
	CertFile    string // of this server where Listen; likewise KeyFile
	KeyFile     string
	CAFile      string // of readers' certificates where Listen; "" to ask for none
}

// URL names the sink in logs and metrics.
func (o *Options) URL() string { return o.Network + "://" + o.Address }

// Sink takes messages. Nothing is connected until Run.
type Sink struct {
	options Options
	log     *slog.Logger
	counts  counters

	mu     sync.Mutex
	queues []*queue // one for each reader; where there is no Listen, one always

	up bool // of Run alone: what was last logged
}

// New makes a Sink.
func New(o Options, log *slog.Logger) *Sink {
	o.Queue = cmp.Or(o.Queue, QueueOctets)
	s := &Sink{options: o, log: log, up: true}
	if !o.Listen {
		s.queues = []*queue{newQueue(o.Queue)}
	}
	return s
}

// Counts are what a Sink has done.
type Counts struct {
	Sink    string
	Sent    uint64 // messages that a reader has been written
	Dropped uint64 // that did not fit into the queue, or were lost with a connection
	Readers int    // connected now
}

// Counts may be called at any time.
func (s *Sink) Counts() Counts {
	return Counts{s.options.URL(), s.counts.sent.Load(), s.counts.dropped.Load(), int(s.counts.readers.Load())}
}

// Add takes m for each reader, or drops it where it does not fit. m is not kept.
func (s *Sink) Add(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if !q.add(m) {
			s.counts.dropped.Add(1)
		}
	}
}

// Run sends until ctx ends, and then what is left, for a second at most.
func (s *Sink) Run(ctx context.Context) {
	if s.options.Listen {
		s.listen(ctx)
		return
	}
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := s.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		s.note(err)
		if time.Since(began) >= steady {
			pause = firstPause
		}
		observe.Pause(ctx, pause)
		pause = min(2*pause, longestPause)
	}
}

// note logs what has changed: err is nil when there is a connection, or a socket for readers.
func (s *Sink) note(err error) {
	if up := err == nil; up != s.up {
		s.up = up
		if up {
			s.log.Info("dnstap: the sink is back", "sink", s.options.URL())
		} else {
			s.log.Warn("dnstap: no sink; what does not fit into the queue is dropped", "sink", s.options.URL(), "error", err)
		}
	}
}

// connect sends to the reader until the connection or ctx ends.
func (s *Sink) connect(ctx context.Context) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := handshake(ctx, conn); err != nil {
		return err
	}
	s.note(nil)
	return s.send(ctx, conn, s.queues[0])
}

func (s *Sink) dial(ctx context.Context) (net.Conn, error) {
	o := &s.options
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	network := o.Network
	if network == "tls" {
		network = "tcp"
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, o.Address)
	if err != nil {
		return nil, err
	}
	s.buffer(conn)
	if o.Network != "tls" {
		return conn, nil
	}
	host, _, _ := net.SplitHostPort(o.Address)
	secure := tls.Client(conn, &tls.Config{ServerName: host, InsecureSkipVerify: o.SkipVerify})
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// buffer asks the kernel for the write buffer.
func (s *Sink) buffer(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok && s.options.WriteBuffer > 0 {
		tcp.SetWriteBuffer(s.options.WriteBuffer)
	}
}

// handshake begins the stream, unless ctx ends: then it closes the connection.
func handshake(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(handshakeTime))
	defer conn.SetDeadline(time.Time{})
	if _, err := conn.Write(control(controlReady)); err != nil {
		return err
	}
	if err := readControl(conn, controlAccept); err != nil {
		return err
	}
	_, err := conn.Write(control(controlStart))
	return err
}

// send writes what comes into q until the connection or ctx ends, and in the second case ends the stream.
func (s *Sink) send(ctx context.Context, conn net.Conn, q *queue) error {
	s.counts.readers.Add(1)
	defer s.counts.readers.Add(-1)
	gone := make(chan error, 1) // the reader says nothing until FINISH, but for the end of the connection
	go func() { gone <- readControl(conn, controlFinish) }()
	defer func() { // the goroutine ends before the connection is left
		conn.Close()
		<-gone
	}()
	defer context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Now().Add(farewellTime)) })()
	signal(q.waiting) // for what has come before
	for {
		if err := q.await(ctx, gone); err != nil {
			gone <- err
			return err
		}
		if err := s.write(ctx, conn, q); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return s.farewell(conn, gone)
		}
	}
}

// await returns when there is something to write: some time after the first message, so that the next ones go with it,
// or when a chunk is full, or ctx has ended. The error says that the reader has.
func (q *queue) await(ctx context.Context, gone <-chan error) error {
	select {
	case <-q.waiting:
	case <-ctx.Done():
		return nil
	case err := <-gone:
		return cmp.Or(err, io.EOF)
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.filled:
	case <-ctx.Done():
	case err := <-gone:
		return cmp.Or(err, io.EOF)
	}
	return nil
}

// write writes all that is in q. What a failing connection had is lost: nobody knows how much of it has arrived.
func (s *Sink) write(ctx context.Context, conn net.Conn, q *queue) error {
	for {
		if ctx.Err() == nil {
			conn.SetWriteDeadline(time.Now().Add(writeTime))
		}
		s.mu.Lock()
		c := q.take()
		s.mu.Unlock()
		if c.messages == 0 {
			return nil
		}
		_, err := conn.Write(c.frames)
		s.mu.Lock()
		q.done(c)
		s.mu.Unlock()
		if err != nil {
			s.counts.dropped.Add(uint64(c.messages))
			return err
		}
		s.counts.sent.Add(uint64(c.messages))
	}
}

// farewell ends the stream, and waits for the reader to say that it has all.
func (s *Sink) farewell(conn net.Conn, gone chan error) error {
	conn.SetDeadline(time.Now().Add(farewellTime))
	if _, err := conn.Write(control(controlStop)); err != nil {
		return err
	}
	err := <-gone
	gone <- err
	return err
}
