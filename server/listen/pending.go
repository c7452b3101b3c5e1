package listen

import (
	"net/netip"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// ofFree is how many times the places that are free one client may have.
const ofFree = 2

// pending are the queries to one address that wait for upstream, up to a bound. They have no goroutines. Each client
// may have at most ofFree times the places that are free: one alone two thirds, and k of them leave one in 2k+1.
type pending struct {
	limit    int
	finished sync.WaitGroup

	mu          sync.Mutex
	waiting     [resolver.Carriers]int
	refused     [resolver.Carriers]uint64
	sum         int // of waiting
	clients     map[netip.Addr]int
	first       *pendingQuery
	interrupted bool
}

func newPending(limit int) *pending {
	return &pending{limit: limit, clients: map[netip.Addr]int{}}
}

// pendingQuery is one query that waits for upstream.
type pendingQuery struct {
	wait     resolver.Wait
	serving  *serving // its resolver has returned Pending
	listener *Listener
	proto    resolver.Proto
	host     netip.Addr
	to       replier

	left           bool // under the mutex of pending
	interrupted    bool // likewise: interrupt may have found it before it left
	next, previous *pendingQuery
}

// replier answers a query whose wait has ended, in a goroutine that it does not block. What it sends may wait for the end
// of the cycle, unless that is nil.
type replier interface {
	ready(q *pendingQuery, c *datagram.Cycle)
}

// Wake has the query answered.
func (q *pendingQuery) Wake(c *datagram.Cycle) { q.to.ready(q, c) }

// enter takes a place for a query of client. When there is none for it, enter counts that and reports false.
func (p *pending) enter(q *pendingQuery, client netip.Addr) bool {
	q.host = resolver.Host(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[q.host] >= ofFree*(p.limit-p.sum) {
		p.refused[q.proto]++
		return false
	}
	p.clients[q.host]++
	p.waiting[q.proto]++
	p.sum++
	p.finished.Add(1)
	q.serving.users.Add(1)
	return true
}

// park notes that q waits, so that interrupt finds it, unless it has been answered by now.
func (p *pending) park(q *pendingQuery) {
	p.mu.Lock()
	if !q.left {
		if q.next = p.first; q.next != nil {
			q.next.previous = q
		}
		p.first = q
	}
	interrupted := p.interrupted
	p.mu.Unlock()
	if interrupted {
		q.interrupt()
	}
}

// leave gives the place of q back.
func (p *pending) leave(q *pendingQuery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.finished.Done()
	defer q.serving.users.Done()
	q.left, q.interrupted = true, p.interrupted
	p.sum--
	p.waiting[q.proto]--
	if p.clients[q.host]--; p.clients[q.host] == 0 {
		delete(p.clients, q.host)
	}
	if q.previous != nil {
		q.previous.next = q.next
	} else if p.first == q {
		p.first = q.next
	}
	if q.next != nil {
		q.next.previous = q.previous
	}
	q.next, q.previous = nil, nil
}

// interrupt ends all waits, and those that begin later.
func (p *pending) interrupt() {
	p.mu.Lock()
	p.interrupted = true
	var all []*pendingQuery
	for q := p.first; q != nil; q = q.next {
		all = append(all, q)
	}
	p.mu.Unlock()
	for _, q := range all {
		q.interrupt()
	}
}

func (q *pendingQuery) interrupt() {
	if q.wait.Interrupt() {
		q.Wake(nil)
	}
}

// count is what metrics tell about queries that came by proto.
func (p *pending) count(proto resolver.Proto) (waiting int, refused uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting[proto], p.refused[proto]
}

// wait returns when nothing waits any more, after the engine and the streams, which enter queries, have ended.
func (p *pending) wait() { p.finished.Wait() }

// await has the query just served wait for upstream, to be answered by to. If the result is not Pending, there is a
// reply at once.
func (w *worker) await(q *pendingQuery, to replier, buf []byte) (reply []byte, result resolver.Result) {
	p := w.listener.pending
	q.serving, q.listener, q.proto, q.to = w.serving, w.listener, w.request.Proto.Carrier(), to
	if !p.enter(q, w.request.Client.Addr()) {
		return w.overflow(buf), resolver.Send
	}
	defer func() {
		if cause := recover(); cause != nil {
			reply, result = w.recovered(cause, buf)
			p.leave(q)
		}
	}()
	reply, result = q.serving.answerer.Wait(&w.request, &q.wait, q)
	if result == resolver.Pending {
		p.park(q)
		return nil, result
	}
	p.leave(q)
	w.note(reply, result)
	return reply, result
}

// resume answers q, whose wait has ended, into buf. With Pending, a new query waits in its place. The caller gives the
// place of q back when the reply is sent.
func (w *worker) resume(q *pendingQuery, buf []byte, again func() *pendingQuery) (reply []byte, result resolver.Result) {
	w.serving, w.facts, w.silent = q.serving, w.facts[:0], 0
	w.traffic.Begin()
	defer func() {
		if cause := recover(); cause != nil {
			reply, result = w.recovered(cause, buf)
		}
	}()
	reply, result = w.serving.answerer.Resume(&w.request, &q.wait, buf)
	if result == resolver.Pending {
		next := again()
		if next == nil { // the connection is closed
			return w.overflow(buf), resolver.Send
		}
		return w.await(next, next.to, buf)
	}
	w.note(reply, result)
	return reply, result
}

// late is what answers a datagram's query after its wait.
type late struct {
	worker worker
	reply  []byte
}

// finish answers q, whose wait has ended, by send.
func (l *Listener) finish(q *pendingQuery, again func() *pendingQuery, send func(reply []byte)) {
	a := l.late.Get().(*late)
	defer l.late.Put(a)
	defer l.pending.leave(q)
	reply, result := a.worker.resume(q, a.reply, again)
	if result == resolver.Pending {
		return
	}
	if result == resolver.Send {
		send(reply)
	}
	a.worker.end(time.Now())
}

// newLate makes what finish needs. Replies that it sends are datagrams.
func (l *Listener) newLate() any {
	return &late{worker: *newWorker(l, l.shared, l.sharedLog, l.recorder), reply: make([]byte, 0, replySize)}
}
