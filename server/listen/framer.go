package listen

import (
	"errors"
	"io"
)

const (
	// framerBuffer holds any ordinary query, and several of them.
	framerBuffer = 2048
	// longestQuery is the octets that a query may have; honest ones have hundreds.
	longestQuery = 8 << 10
	// lengthSize is the octets of length before each message, RFC 1035 section 4.2.2.
	lengthSize = 2
)

// framer reads messages from a connection. A connection without traffic costs only the small buffer.
type framer struct {
	from  io.Reader
	begun func() // called when a part of a message is there, and the rest is not
	buf   [framerBuffer]byte
	start int // of what is not yet used in buf
	end   int
}

// read waits for one message. It is valid until the next call.
func (f *framer) read() ([]byte, error) {
	for begun := false; ; {
		if message, ok := f.buffered(); ok {
			return message, nil
		}
		if f.end > f.start && !begun {
			begun = true
			f.begun()
		}
		if size := f.size(); size > longestQuery {
			return nil, errTooLong
		} else if size > len(f.buf)-lengthSize {
			return f.long(size)
		}
		if n, err := f.fill(); n == 0 && err != nil {
			return nil, err
		}
	}
}

// fill reads once behind what has not been used.
func (f *framer) fill() (n int, err error) {
	f.end = copy(f.buf[:], f.buf[f.start:f.end])
	f.start = 0
	n, err = f.from.Read(f.buf[f.end:])
	f.end += n
	return n, err
}

// buffered is the next message if it has arrived.
func (f *framer) buffered() ([]byte, bool) {
	size := f.size()
	if size < 0 || f.end-f.start < lengthSize+size {
		return nil, false
	}
	message := f.buf[f.start+lengthSize : f.start+lengthSize+size]
	f.start += lengthSize + size
	return message, true
}

var errTooLong = errors.New("the query is too long")

// size is the length of the message that begins at start, -1 when not even that has arrived.
func (f *framer) size() int {
	if f.end-f.start < lengthSize {
		return -1
	}
	return int(f.buf[f.start])<<8 | int(f.buf[f.start+1])
}

// long reads a message that is larger than the buffer, which queries hardly ever are.
func (f *framer) long(size int) ([]byte, error) {
	message := make([]byte, size)
	n := copy(message, f.buf[f.start+lengthSize:f.end])
	f.start, f.end = 0, 0
	_, err := io.ReadFull(f.from, message[n:])
	return message, err
}
