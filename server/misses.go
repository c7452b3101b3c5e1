package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

// misses runs the queries that wait for upstream, each in a goroutine, up to a bound.
type misses struct {
	limit    int64
	running  atomic.Int64
	refused  atomic.Uint64
	finished sync.WaitGroup
}

func newMisses(limit int) *misses { return &misses{limit: int64(limit)} }

// start runs work, or says false and counts when the bound is reached.
func (m *misses) start(work func()) bool {
	if m.running.Add(1) > m.limit {
		m.running.Add(-1)
		m.refused.Add(1)
		return false
	}
	m.finished.Add(1)
	go func() {
		defer m.finished.Done()
		defer m.running.Add(-1)
		work()
	}()
	return true
}

// wait returns when nothing runs any more; start must not be called after it.
func (m *misses) wait() { m.finished.Wait() }

// miss is one query that waits for upstream: a copy of its packet, with buffers of its own, kept from query to query.
type miss struct {
	worker worker
	packet []byte
	framed []byte // room for a length and the reply behind it
	reply  []byte // the latter
}

// take copies the request of w, which is about to go on to other packets.
func (m *miss) take(w *worker) {
	m.worker.begin(w.request.Now, w.request.Proto)
	m.worker.serving = w.serving // the resolver that said Pending
	m.packet = m.worker.request.Take(&w.request, m.packet, m.reply)
}

// resolve asks upstream, calls send with the reply unless there is none, and counts.
func (m *miss) resolve(ctx context.Context, send func(reply []byte)) {
	reply, result := m.ask(ctx)
	if result == resolver.Send {
		send(reply)
	}
	m.worker.end(time.Now())
}

func (m *miss) ask(ctx context.Context) (reply []byte, result resolver.Result) {
	w := &m.worker
	defer func() {
		if cause := recover(); cause != nil {
			reply, result = w.recovered(cause, m.reply)
		}
	}()
	reply, result = w.serving.answerer.Resume(ctx, &w.request)
	w.note(reply, result)
	return reply, result
}

// missPool keeps misses for reuse.
type missPool struct {
	pool sync.Pool
}

func newMissPool(l *Listener, replySize int) *missPool {
	p := &missPool{}
	p.pool.New = func() any {
		framed := make([]byte, lengthSize, lengthSize+replySize)
		return &miss{worker: *newWorker(l, l.slow, l.slowLog), framed: framed, reply: framed[lengthSize:]}
	}
	return p
}

func (p *missPool) get() *miss  { return p.pool.Get().(*miss) }
func (p *missPool) put(m *miss) { p.pool.Put(m) }
