package dnstap

import (
	"encoding/binary"
	"sync/atomic"
)

// chunkSize is the octets of messages that are written at once: enough that a system call for them costs little.
const chunkSize = 64 << 10

// queue is the frames that one reader is to get. Sink.mu guards it.
type queue struct {
	limit  int     // octets
	octets int     // of all chunks, that which is being written too
	open   chunk   // what comes goes there
	full   []chunk // older than open
	spare  []byte

	waiting chan struct{} // has a value when there may be a message
	filled  chan struct{} // when there may be a full chunk
}

// chunk is frames in a row.
type chunk struct {
	frames   []byte
	messages int
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, waiting: make(chan struct{}, 1), filled: make(chan struct{}, 1)}
}

// add appends m, and reports whether there was room.
func (q *queue) add(m *Message) bool {
	most := frameHead + m.most()
	if q.octets+most > q.limit {
		return false
	}
	if len(q.open.frames)+most > chunkSize && q.open.messages > 0 {
		q.full = append(q.full, q.open)
		q.open = chunk{frames: q.spare}
		q.spare = nil
		signal(q.filled)
	}
	if q.open.messages == 0 {
		signal(q.waiting)
	}
	if q.open.frames == nil {
		q.open.frames = make([]byte, 0, max(chunkSize, most))
	}
	start := len(q.open.frames)
	frames := m.append(append(q.open.frames, 0, 0, 0, 0))
	size := len(frames) - start
	binary.BigEndian.PutUint32(frames[start:], uint32(size-frameHead))
	q.open = chunk{frames, q.open.messages + 1}
	q.octets += size
	return true
}

// take is the oldest chunk; without messages when there is none. Its room is given back with done.
func (q *queue) take() (c chunk) {
	switch {
	case len(q.full) > 0:
		c = q.full[0]
		q.full = q.full[1:]
	case q.open.messages > 0:
		c = q.open
		q.open = chunk{frames: q.spare}
		q.spare = nil
	}
	return c
}

// done gives the room of c back.
func (q *queue) done(c chunk) {
	q.octets -= len(c.frames)
	if cap(c.frames) == chunkSize {
		q.spare = c.frames[:0]
	}
}

// signal puts a value into c, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// counters are what a Sink has done.
type counters struct {
	sent, dropped atomic.Uint64
	readers       atomic.Int32
}
