//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"iter"

	"golang.org/x/sys/unix"
)

// stream is a connection over TCP, where each message has its length before it.
type stream struct {
	out  []byte // message under way
	rest []byte // what has been received of the next message
}

// send sends a query. It waits while the connection is full: part of a message would spoil all that follow.
func (s *stream) send(fd int, message []byte) error {
	s.out = append(binary.BigEndian.AppendUint16(s.out[:0], uint16(len(message))), message...)
	for left := s.out; len(left) > 0; {
		n, err := unix.Write(fd, left)
		switch err {
		case nil:
			left = left[n:]
		case unix.EAGAIN:
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(patience.Milliseconds()))
			if err != nil && err != unix.EINTR {
				return err
			}
			if n == 0 && err == nil {
				return errors.New("the server does not read its connection")
			}
		case unix.EINTR:
		default:
			return err
		}
	}
	return nil
}

// messages is the whole messages in what has been received, now and before.
func (s *stream) messages(received []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s.rest = append(s.rest, received...)
		left := s.rest
		for len(left) >= 2 {
			end := 2 + int(binary.BigEndian.Uint16(left))
			if len(left) < end || !yield(left[2:end]) {
				break
			}
			left = left[end:]
		}
		s.rest = append(s.rest[:0], left...)
	}
}
