package listen

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/resolver"
)

// mmsghdr is struct mmsghdr of recvmmsg(2); the compiler pads it as C does, on every architecture.
type mmsghdr struct {
	header unix.Msghdr
	size   uint32
}

// mmsg calls recvmmsg or sendmmsg without telling the scheduler, so that the thread keeps its P meanwhile.
func mmsg(call uintptr, fd int, messages []mmsghdr, flags uintptr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(call,
		uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(messages))), uintptr(len(messages)), flags, 0, 0)
	return int(n), errno
}

// nameSize is the size of the largest socket address of a client, which is that of IPv6.
const nameSize = unix.SizeofSockaddrInet6

// slot is the memory of one datagram and its reply. The odd size keeps the first lines of slots out of the same set of
// the CPU's cache.
type slot struct {
	in  [querySize]byte
	out [replySize]byte
	_   [192]byte
}

// reader serves one socket on one thread.
type reader struct {
	fd       int
	local    netip.Addr // where all queries were sent to, unless control messages say otherwise
	wildcard bool
	park     *park
	awake    bool      // packets come fast enough to wait for them in the kernel
	dense    int       // how many wakings in a row came within denseGap of the one before
	woken    time.Time // the last of them
	stop     *atomic.Bool
	failed   atomic.Uint64 // replies that the kernel did not take

	late   context.Context // of pending queries
	worker *worker
	pool   *pendingPool
	tally  tally

	slots    [batchSize]slot
	names    [batchSize][nameSize]byte
	controls [batchSize][controlSize]byte
	inVecs   [batchSize]unix.Iovec
	outVecs  [batchSize]unix.Iovec
	in       [batchSize]mmsghdr
	out      [batchSize]mmsghdr
}

func newReader(stop *atomic.Bool, fd int, park *park, local netip.Addr) *reader {
	r := &reader{fd: fd, park: park, local: local, wildcard: local.IsUnspecified(), stop: stop}
	for i := range batchSize {
		r.inVecs[i].Base = &r.slots[i].in[0]
		r.inVecs[i].SetLen(querySize)
		header := &r.in[i].header
		header.Iov, header.Name = &r.inVecs[i], &r.names[i][0]
		header.SetIovlen(1)
		if r.wildcard {
			header.Control = &r.controls[i][0]
		}
		r.out[i].header.SetIovlen(1)
		r.out[i].header.Iov = &r.outVecs[i]
	}
	r.rearm(batchSize)
	return r
}

// rearm gives the kernel back the lengths that it overwrote in the first n headers.
func (r *reader) rearm(n int) {
	for i := range n {
		header := &r.in[i].header
		header.Namelen = nameSize
		if r.wildcard {
			header.SetControllen(controlSize)
		}
	}
}

// lastBatches is more than a receive buffer holds.
const lastBatches = 1024

// run serves until stop is set and what has arrived before it is answered.
func (r *reader) run() {
	defer r.worker.lines.Buffer.End()
	for !r.stop.Load() {
		n, errno := r.wait()
		switch errno {
		case 0:
			r.serve(n)
		case unix.EINTR: // the runtime wants this thread, and gets it at the next prologue
		case unix.EAGAIN:
			r.awake, r.dense = false, 0
		default: // such as ENOMEM: do not spin
			time.Sleep(10 * time.Millisecond)
		}
	}
	for range lastBatches {
		n, errno := r.receive(unix.MSG_DONTWAIT)
		if errno != 0 {
			return
		}
		r.serve(n)
	}
}

// wait waits for datagrams and receives them: in the kernel when there are many, parked when there are few.
func (r *reader) wait() (int, unix.Errno) {
	if r.awake {
		return r.receive(unix.MSG_WAITFORONE)
	}
	r.park.wait()
	woken := time.Now()
	if r.dense++; woken.Sub(r.woken) > denseGap {
		r.dense = 0
	}
	r.awake, r.woken = r.dense >= denseRun, woken
	return r.receive(unix.MSG_DONTWAIT)
}

// receive receives datagrams; with MSG_WAITFORONE it waits for them, at most idleTime. It must not be inlined, because
// its prologue is where a stop-the-world can stop the reader between two calls.
//
//go:noinline
func (r *reader) receive(flags uintptr) (int, unix.Errno) {
	return mmsg(unix.SYS_RECVMMSG, r.fd, r.in[:], flags)
}

// serve answers the first n datagrams.
func (r *reader) serve(n int) {
	w := r.worker
	defer w.listener.survive()
	w.begin(time.Now(), resolver.UDP)
	defer r.rearm(n)
	replies, pending := 0, 0
	for i := range n {
		local := r.localOf(i)
		reply, result := w.serve(r.packet(i), r.slots[i].out[:0], clientOf(&r.names[i]), local)
		if result == resolver.Pending {
			if r.handOff(i) {
				pending++
				continue
			}
			reply, result = w.overflow(r.slots[i].out[:0]), resolver.Send
		}
		if result == resolver.Send {
			r.queue(replies, i, reply)
			replies++
		}
	}
	r.send(replies)
	w.end(time.Now())
	if pending > 0 {
		runtime.Gosched() // their goroutines are in this P's queue: they start now, not when another thread steals them
	}
}

// packet is the i-th datagram. One that was cut cannot be parsed to its end, and so is malformed.
func (r *reader) packet(i int) []byte {
	return r.slots[i].in[:min(int(r.in[i].size), querySize)]
}

// localOf is the address that the i-th datagram was sent to; its control message becomes the reply's.
func (r *reader) localOf(i int) netip.Addr {
	if !r.wildcard {
		return r.local
	}
	local, ok := replyFrom(r.controls[i][:r.in[i].header.Controllen])
	if !ok {
		r.in[i].header.SetControllen(0)
		return r.local
	}
	return local
}

// clientOf reads a socket address.
func clientOf(name *[nameSize]byte) netip.AddrPort {
	port := binary.BigEndian.Uint16(name[2:])
	if binary.NativeEndian.Uint16(name[:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(name[8:24])).Unmap(), port)
}

// queue makes reply, to the i-th datagram, the k-th of the batch to send.
func (r *reader) queue(k, i int, reply []byte) {
	r.outVecs[k].Base = unsafe.SliceData(reply)
	r.outVecs[k].SetLen(len(reply))
	to, from := &r.out[k].header, &r.in[i].header
	to.Name, to.Namelen = from.Name, from.Namelen
	to.Control, to.Controllen = from.Control, from.Controllen
}

// send sends the first n replies. It never waits: a reply that the kernel has no room for is lost, as datagrams are.
func (r *reader) send(n int) {
	for sent := 0; sent < n; {
		k, errno := mmsg(unix.SYS_SENDMMSG, r.fd, r.out[sent:n], unix.MSG_DONTWAIT)
		switch {
		case errno == unix.EINTR:
		case errno != 0: // of the first of these replies; the others may still go
			r.failed.Add(1)
			sent++
		default:
			sent += k
		}
	}
}

// handOff gives the i-th query, just served, to a goroutine that may wait for upstream. It reports whether there was
// one left.
func (r *reader) handOff(i int) bool {
	q := r.pool.get()
	q.take(r.worker)
	to := &envelope{name: r.names[i], header: r.in[i].header}
	if r.wildcard {
		to.control = r.controls[i]
	}
	started := r.worker.listener.pending[resolver.UDP].start(func() {
		q.resolve(r.late, func(reply []byte) { r.reply(to, reply) })
		r.pool.put(q)
	})
	if !started {
		r.pool.put(q)
	}
	return started
}

// envelope is where a late reply goes.
type envelope struct {
	header  unix.Msghdr
	name    [nameSize]byte
	control [controlSize]byte
	vec     unix.Iovec
}

// reply sends a late reply, from the goroutine that has waited for it. The call does not block, so the scheduler need
// not be told.
func (r *reader) reply(to *envelope, reply []byte) {
	to.vec.Base = unsafe.SliceData(reply)
	to.vec.SetLen(len(reply))
	to.header.Name, to.header.Iov = &to.name[0], &to.vec
	if to.header.Control != nil {
		to.header.Control = &to.control[0]
	}
	message := []mmsghdr{{header: to.header}}
	if n, errno := mmsg(unix.SYS_SENDMMSG, r.fd, message, unix.MSG_DONTWAIT); n != 1 || errno != 0 {
		r.failed.Add(1)
	}
}
