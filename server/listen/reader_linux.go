package listen

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/resolver/datagram"
)

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
	park     *datagram.Park
	pace     datagram.Pace
	stop     *atomic.Bool
	failed   atomic.Uint64 // replies that the kernel did not take

	steering *steering     // nil for none
	busy     atomic.Int64  // nanoseconds that it has answered for
	seen     time.Duration // of busy, at the last look of steering

	worker *worker
	tally  tally
	outbox datagram.Outbox // of queries that upstream is asked

	slots    [batchSize]slot
	names    [batchSize][nameSize]byte
	controls [batchSize][controlSize]byte
	inVecs   [batchSize]unix.Iovec
	outVecs  [batchSize]unix.Iovec
	in       [batchSize]datagram.Message
	out      [batchSize]datagram.Message
}

func newReader(stop *atomic.Bool, fd int, park *datagram.Park, local netip.Addr) *reader {
	r := &reader{fd: fd, park: park, local: local, wildcard: local.IsUnspecified(), stop: stop}
	for i := range batchSize {
		r.inVecs[i].Base = &r.slots[i].in[0]
		r.inVecs[i].SetLen(querySize)
		header := &r.in[i].Header
		header.Iov, header.Name = &r.inVecs[i], &r.names[i][0]
		header.SetIovlen(1)
		if r.wildcard {
			header.Control = &r.controls[i][0]
		}
		r.out[i].Header.SetIovlen(1)
		r.out[i].Header.Iov = &r.outVecs[i]
	}
	r.rearm(batchSize)
	return r
}

// rearm gives the kernel back the lengths that it overwrote in the first n headers.
func (r *reader) rearm(n int) {
	for i := range n {
		header := &r.in[i].Header
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
			r.pace.Idle()
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
	if r.pace.Awake {
		return r.receive(unix.MSG_WAITFORONE)
	}
	r.park.Wait()
	r.pace.Woken(time.Now())
	return r.receive(unix.MSG_DONTWAIT)
}

// receive receives datagrams; with MSG_WAITFORONE it waits for them, at most datagram.IdleTime. It must not be inlined, because
// its prologue is where a stop-the-world can stop the reader between two calls.
//
//go:noinline
func (r *reader) receive(flags int) (int, unix.Errno) {
	return datagram.Receive(r.fd, r.in[:], flags)
}

// serve answers the first n datagrams.
func (r *reader) serve(n int) {
	w := r.worker
	w.request.Out = &r.outbox
	defer w.listener.survive()
	defer r.outbox.Flush() // after a panic
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
	sent := r.outbox.Flush()
	now := time.Now()
	w.end(now)
	r.busy.Add(int64(now.Sub(w.request.Now)))
	r.steering.look(now)
	r.pace.Yield(now)
	if pending > sent {
		runtime.Gosched() // flights that have a goroutine are in this P's queue: they start now, not when it is stolen from
	}
}

// packet is the i-th datagram. One that was cut cannot be parsed to its end, and so is malformed.
func (r *reader) packet(i int) []byte {
	return r.slots[i].in[:min(int(r.in[i].Size), querySize)]
}

// localOf is the address that the i-th datagram was sent to; its control message becomes the reply's.
func (r *reader) localOf(i int) netip.Addr {
	if !r.wildcard {
		return r.local
	}
	local, ok := replyFrom(r.controls[i][:r.in[i].Header.Controllen])
	if !ok {
		r.in[i].Header.SetControllen(0)
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
	to, from := &r.out[k].Header, &r.in[i].Header
	to.Name, to.Namelen = from.Name, from.Namelen
	to.Control, to.Controllen = from.Control, from.Controllen
}

// send sends the first n replies.
func (r *reader) send(n int) { r.sendAll(r.out[:n]) }

// sendAll sends replies. It never waits: a reply that the kernel has no room for is lost, as datagrams are.
func (r *reader) sendAll(replies []datagram.Message) {
	for len(replies) > 0 {
		k, errno := datagram.Send(r.fd, replies, unix.MSG_DONTWAIT)
		switch {
		case errno == unix.EINTR:
		case errno != 0: // of the first of these replies; the others may still go
			r.failed.Add(1)
			replies = replies[1:]
		default:
			replies = replies[k:]
		}
	}
}

// await has the i-th query, just served, wait for upstream.
func (r *reader) await(i int) ([]byte, resolver.Result) {
	q := datagramQueries.Get().(*datagramQuery)
	q.held.Store(2)
	q.reader, q.name, q.nameLen, q.controlLen = r, r.names[i], r.in[i].Header.Namelen, 0
	if r.wildcard {
		q.control, q.controlLen = r.controls[i], int(r.in[i].Header.Controllen)
	}
	reply, result := r.worker.await(&q.pendingQuery, q, r.slots[i].out[:0])
	if result == resolver.Pending {
		q.release()
	}
	return reply, result
}

// datagramQueries are those that are answered. A miss would else leave several hundred octets to the garbage collector.
var datagramQueries = sync.Pool{New: func() any { return new(datagramQuery) }}

// datagramQuery is a query that waits for upstream, and where its reply goes.
type datagramQuery struct {
	pendingQuery
	held       atomic.Int32 // of a query from datagramQueries: by who has it wait, and by who answers it
	reader     *reader
	nameLen    uint32
	controlLen int
	name       [nameSize]byte
	control    [controlSize]byte
}

// release says that one of those who hold q does so no more. Where q is not answered in the usual way, it is left to the
// garbage collector.
func (q *datagramQuery) release() {
	if q.held.Add(-1) == 0 && !q.interrupted && q.wait.Reset() {
		q.serving, q.listener, q.to, q.reader, q.left = nil, nil, nil, nil, false
		datagramQueries.Put(q)
	}
}

// ready sends the late reply, with the others of the cycle if it is of one.
func (q *datagramQuery) ready(_ *pendingQuery, c *datagram.Cycle) {
	if c != nil {
		q.listener.lateOf(c).answer(q)
		return
	}
	q.listener.finish(&q.pendingQuery, q.again, q.send)
}

// again is the same query for another wait.
func (q *datagramQuery) again() *pendingQuery {
	next := &datagramQuery{reader: q.reader, nameLen: q.nameLen, controlLen: q.controlLen, name: q.name, control: q.control}
	next.to = next
	return &next.pendingQuery
}

func (q *datagramQuery) send(reply []byte) {
	vec := &unix.Iovec{Base: unsafe.SliceData(reply)}
	vec.SetLen(len(reply))
	message := []datagram.Message{{}}
	q.address(&message[0].Header)
	message[0].Header.Iov = vec
	message[0].Header.SetIovlen(1)
	q.reader.sendAll(message)
}
