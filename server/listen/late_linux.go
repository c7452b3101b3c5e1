package listen

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// lateReplies answers queries whose wait has ended in one cycle, and sends the replies with one system call. They leave
// by the socket of one reader: it has the address that all of them share.
type lateReplies struct {
	worker  *worker
	count   int
	queries [batchSize]*datagramQuery
	vecs    [batchSize]unix.Iovec
	out     [batchSize]datagram.Message
	buffers [batchSize][replySize]byte
}

// lateOf is that of l in c.
func (l *Listener) lateOf(c *datagram.Cycle) *lateReplies {
	for _, b := range c.Batches() {
		if late, ok := b.(*lateReplies); ok && late.worker.listener == l {
			return late
		}
	}
	late, ok := l.lates.Get().(*lateReplies)
	if !ok {
		late = &lateReplies{worker: newWorker(l, l.shared, l.sharedLog, l.recorder)}
		for i := range late.out {
			late.out[i].Header.Iov = &late.vecs[i]
			late.out[i].Header.SetIovlen(1)
		}
	}
	c.Add(late)
	return late
}

// answer answers q, at the end of the cycle at the latest.
func (l *lateReplies) answer(q *datagramQuery) {
	if l.count == batchSize {
		l.send()
	}
	queued := false
	defer func() {
		if !queued {
			q.listener.pending.leave(&q.pendingQuery)
		}
	}()
	reply, result := l.worker.resume(&q.pendingQuery, l.buffers[l.count][:0], q.again)
	if result == resolver.Pending {
		return
	}
	l.worker.end(time.Now())
	if result != resolver.Send {
		return
	}
	l.vecs[l.count].Base = unsafe.SliceData(reply)
	l.vecs[l.count].SetLen(len(reply))
	q.address(&l.out[l.count].Header)
	l.queries[l.count] = q
	l.count++
	queued = true
}

// address has header lead to q's client.
func (q *datagramQuery) address(header *unix.Msghdr) {
	header.Name, header.Namelen = &q.name[0], q.nameLen
	header.Control = nil
	header.SetControllen(q.controlLen)
	if q.controlLen > 0 {
		header.Control = &q.control[0]
	}
}

// send sends what there is, and gives the places of its queries back.
func (l *lateReplies) send() {
	if l.count == 0 {
		return
	}
	r := l.queries[0].reader
	r.sendAll(l.out[:l.count])
	for i, q := range l.queries[:l.count] {
		q.listener.pending.leave(&q.pendingQuery)
		l.queries[i], l.vecs[i].Base, l.out[i].Header.Name, l.out[i].Header.Control = nil, nil, nil, nil
		q.release()
	}
	l.count = 0
}

// Flush ends the cycle.
func (l *lateReplies) Flush() {
	l.send()
	l.worker.listener.lates.Put(l)
}
