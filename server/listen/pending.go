package listen

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

// pending runs the queries that wait for upstream, each in a goroutine, up to a bound.
type pending struct {
	limit    int64
	running  atomic.Int64
	refused  atomic.Uint64
	finished sync.WaitGroup
}

func newPending(limit int) *pending { return &pending{limit: int64(limit)} }

// start runs work. When the bound is reached, it counts that and reports false.
func (p *pending) start(work func()) bool {
	if p.running.Add(1) > p.limit {
		p.running.Add(-1)
		p.refused.Add(1)
		return false
	}
	p.finished.Add(1)
	go func() {
		defer p.finished.Done()
		defer p.running.Add(-1)
		work()
	}()
	return true
}

// wait returns when nothing runs any more; start must not be called after it.
func (p *pending) wait() { p.finished.Wait() }

// pendingQuery is one query that waits for upstream: a copy of its packet, with buffers of its own, reused for later
// queries.
type pendingQuery struct {
	worker worker
	packet []byte
	framed []byte // room for a length and the reply behind it
	reply  []byte // the part of framed behind the length
}

// take copies the request of w, which is about to go on to other packets.
func (q *pendingQuery) take(w *worker) {
	q.worker.begin(w.request.Now, w.request.Proto)
	q.worker.serving = w.serving // the resolver that returned Pending
	q.worker.serving.users.Add(1)
	q.packet = q.worker.request.Take(&w.request, q.packet, q.reply)
}

// resolve waits for upstream, calls send with the reply unless there is none, and counts.
func (q *pendingQuery) resolve(ctx context.Context, send func(reply []byte)) {
	reply, result := q.resume(ctx)
	if result == resolver.Send {
		send(reply)
	}
	q.worker.end(time.Now())
}

func (q *pendingQuery) resume(ctx context.Context) (reply []byte, result resolver.Result) {
	w := &q.worker
	defer func() {
		if cause := recover(); cause != nil {
			reply, result = w.recovered(cause, q.reply)
		}
	}()
	reply, result = w.serving.answerer.Resume(ctx, &w.request)
	w.note(reply, result)
	return reply, result
}

// pendingPool keeps pendingQuery values for reuse.
type pendingPool struct {
	pool sync.Pool
}

func newPendingPool(l *Listener, replySize int) *pendingPool {
	p := &pendingPool{}
	p.pool.New = func() any {
		framed := make([]byte, lengthSize, lengthSize+replySize)
		return &pendingQuery{worker: *newWorker(l, l.shared, l.sharedLog), framed: framed, reply: framed[lengthSize:]}
	}
	return p
}

func (p *pendingPool) get() *pendingQuery { return p.pool.Get().(*pendingQuery) }

func (p *pendingPool) put(q *pendingQuery) {
	q.worker.serving.users.Done()
	p.pool.Put(q)
}
