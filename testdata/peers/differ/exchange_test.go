package differ

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Each server has a few sockets, and each socket a number of questions under
// way: enough to keep the servers busy, little enough that nothing is lost.
const (
	sockets  = 4
	window   = 48
	patience = 5 * time.Second // for a reply
	tries    = 3
)

// exchange sends all questions to address and keeps what comes back in
// replies, by the number of the question. What is nil was not answered.
func exchange(address string, questions []*question) (replies [][]byte, err error) {
	replies = make([][]byte, len(questions))
	var running sync.WaitGroup
	var mu sync.Mutex
	for _, proto := range []string{"udp", "tcp"} {
		for i := range sockets {
			var share []int
			for n := i; n < len(questions); n += sockets {
				if questions[n].tcp == (proto == "tcp") {
					share = append(share, n)
				}
			}
			running.Go(func() {
				for range tries {
					if len(share) == 0 {
						return
					}
					var e error
					if share, e = pipeline(proto, address, questions, share, replies); !isSilence(e) {
						mu.Lock()
						err = errors.Join(err, e)
						mu.Unlock()
					}
				}
			})
		}
	}
	running.Wait()
	return replies, err
}

// pipeline asks the questions of a share over one socket, several at a time,
// and returns those that were not answered.
func pipeline(proto, address string, questions []*question, share []int, replies [][]byte) (left []int, err error) {
	return pipelineWithin(patience, proto, address, questions, share, replies)
}

// pipelineWithin is pipeline with another patience.
func pipelineWithin(patience time.Duration, proto, address string, questions []*question, share []int, replies [][]byte) (left []int, err error) {
	conn, err := net.Dial(proto, address)
	if err != nil {
		return share, err
	}
	defer conn.Close()
	room := make(chan struct{}, window)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = collect(conn, patience, proto, share, replies, room)
	}()
	for i, number := range share {
		select {
		case room <- struct{}{}:
		case <-done:
		}
		packet := append([]byte{0, 0}, questions[number].packet...)
		binary.BigEndian.PutUint16(packet, uint16(len(packet)-2))
		binary.BigEndian.PutUint16(packet[2:], uint16(i))
		if proto == "udp" {
			packet = packet[2:]
		}
		if _, err := conn.Write(packet); err != nil {
			break // the reader says why
		}
	}
	<-done
	for _, number := range share {
		if replies[number] == nil {
			left = append(left, number)
		}
	}
	return left, err
}

// collect reads the replies to a share, whose places in it are their IDs, and
// makes room for another question after each.
func collect(conn net.Conn, patience time.Duration, proto string, share []int, replies [][]byte, room <-chan struct{}) error {
	buf := make([]byte, 1<<16)
	for got := 0; got < len(share); {
		conn.SetReadDeadline(time.Now().Add(patience))
		n, err := readMessage(conn, proto, buf)
		if err != nil {
			return err
		}
		if n < 12 {
			continue
		}
		id := int(binary.BigEndian.Uint16(buf))
		if id < len(share) && replies[share[id]] == nil {
			replies[share[id]] = append([]byte(nil), buf[:n]...)
			got++
			<-room
		}
	}
	return nil
}

// isSilence reports whether an error says only that nothing came back.
func isSilence(err error) bool {
	return err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// readMessage reads one reply into buf.
func readMessage(conn net.Conn, proto string, buf []byte) (int, error) {
	if proto == "udp" {
		return conn.Read(buf)
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return 0, err
	}
	return io.ReadFull(conn, buf[:binary.BigEndian.Uint16(size[:])])
}
