package listen

import (
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

	steering *steering     // nil for none
	busy     atomic.Int64  // nanoseconds that it has answered for
	seen     time.Duration // of busy, at the last look of steering

	worker *worker
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
	defer r.worker.leave()
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
			if reply, result = r.await(i); result == resolver.Pending {
				pending++
			}
		}
		if result == resolver.Send {
			r.queue(replies, i, reply)
			replies++
		}
	}
	r.send(replies)
	now := time.Now()
	w.end(now)
	r.busy.Add(int64(now.Sub(w.request.Now)))
	r.steering.look(now)
	if pending > 0 {
		runtime.Gosched() // their flights are in this P's queue: they start now, not when another thread steals them
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

// await has the i-th query, just served, wait for upstream.
func (r *reader) await(i int) ([]byte, resolver.Result) {
	q := &datagramQuery{reader: r, name: r.names[i], nameLen: r.in[i].header.Namelen}
	if r.wildcard {
		q.control, q.controlLen = r.controls[i], int(r.in[i].header.Controllen)
	}
	return r.worker.await(&q.pendingQuery, q, r.slots[i].out[:0])
}

// datagramQuery is a query that waits for upstream, and where its reply goes.
type datagramQuery struct {
	pendingQuery
	reader     *reader
	nameLen    uint32
	controlLen int
	name       [nameSize]byte
	control    [controlSize]byte
}

// ready sends the late reply, in the goroutine of the flight. The call does not block, so the scheduler need not be
// told.
func (q *datagramQuery) ready(*pendingQuery) { q.listener.finish(&q.pendingQuery, q.again, q.send) }

// again is the same query for another wait.
func (q *datagramQuery) again() *pendingQuery {
	next := &datagramQuery{reader: q.reader, nameLen: q.nameLen, controlLen: q.controlLen, name: q.name, control: q.control}
	next.to = next
	return &next.pendingQuery
}

func (q *datagramQuery) send(reply []byte) {
	vec := &unix.Iovec{Base: unsafe.SliceData(reply)}
	vec.SetLen(len(reply))
	message := []mmsghdr{{}}
	header := &message[0].header
	header.Name, header.Namelen, header.Iov = &q.name[0], q.nameLen, vec
	header.SetIovlen(1)
	if q.controlLen > 0 {
		header.Control = &q.control[0]
		header.SetControllen(q.controlLen)
	}
	if n, errno := mmsg(unix.SYS_SENDMMSG, q.reader.fd, message, unix.MSG_DONTWAIT); n != 1 || errno != 0 {
		q.reader.failed.Add(1)
	}
}
