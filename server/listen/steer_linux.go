package listen

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lookTime = 10 * time.Millisecond // between two looks at how busy the readers are
	// Twice as many readers serve when one of them is busy for more than busyShare of the time, half as many when all
	// of them together were busy for less than idleShare of what these would have, at idleLooks in a row.
	busyShare = 0.6
	idleShare = 0.3
	idleLooks = 100
)

// steering has the kernel give the datagrams for an address to the first of its readers, to as few as have time for
// them, and divides the clients between those. What arrives for one reader is read with fewer system calls and finds
// warmer caches than what arrives for several, and a reader that gets nothing is parked and costs nothing.
//
// The kernel chooses by a program of classic BPF (SO_ATTACH_REUSEPORT_CBPF), which numbers the sockets of an address in
// the order in which they were bound, and takes no privilege.
type steering struct {
	readers []*reader
	began   time.Time
	due     atomic.Int64 // of the next look, in nanoseconds after began

	mu     sync.Mutex
	inUse  int
	looked time.Duration // after began
	idle   int           // looks in a row that found too many readers in use
	ended  bool
}

// newSteering begins with one reader. It is nil where the kernel cannot be told, or need not be.
func newSteering(readers []*reader) *steering {
	s := &steering{readers: readers, began: time.Now(), inUse: 1}
	if len(readers) < 2 || choose(readers[0].fd, 1) != nil {
		return nil
	}
	return s
}

// look changes how many readers serve, when it is time to. Readers call it after each batch.
func (s *steering) look(now time.Time) {
	if s == nil {
		return
	}
	after := now.Sub(s.began)
	if int64(after) < s.due.Load() || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	var sum, most time.Duration
	for _, r := range s.readers {
		busy := time.Duration(r.busy.Load())
		most = max(most, busy-r.seen)
		sum += busy - r.seen
		r.seen = busy
	}
	elapsed := after - s.looked
	s.looked = after
	s.due.Store(int64(after + lookTime))
	if n := s.wanted(sum, most, elapsed); n != s.inUse && !s.ended && choose(s.readers[0].fd, s.among(n)) == nil {
		s.inUse, s.idle = n, 0
	}
}

// wanted is how many readers are to serve after a time in which all of them were busy for sum, and one of them for most.
func (s *steering) wanted(sum, most, elapsed time.Duration) int {
	fewer := max(s.inUse/2, 1)
	switch {
	case float64(most) > busyShare*float64(elapsed):
		s.idle = 0
		return min(2*s.inUse, len(s.readers))
	case float64(sum) > idleShare*float64(fewer)*float64(elapsed):
		s.idle = 0
	default:
		s.idle += int(max(elapsed/lookTime, 1))
	}
	if s.idle >= idleLooks {
		return fewer
	}
	return s.inUse
}

// among is n, or hashed when that is all readers.
func (s *steering) among(n int) int {
	if n == len(s.readers) {
		return hashed
	}
	return n
}

// end leaves the choice to the kernel for good. It must come before a socket is detached: the program knows nothing of
// that, while the kernel passes such a socket over.
func (s *steering) end() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	choose(s.readers[0].fd, hashed)
}

// hashed is for choose: the kernel divides the clients between all sockets.
const hashed = 0

// choose has the kernel divide the clients between the first n sockets that share the address of fd.
func choose(fd, n int) error {
	const (
		noSocket   = 1<<32 - 1    // then the kernel chooses by its hash of the client
		clientHash = 1<<32 - 4064 // SKF_AD_OFF + SKF_AD_RXHASH of linux/filter.h
	)
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: clientHash},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(n)},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
	if n == hashed {
		program = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: noSocket}}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
}
