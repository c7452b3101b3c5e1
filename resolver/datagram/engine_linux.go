package datagram

import (
	"encoding/binary"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Engine asks upstreams over UDP. Any number of goroutines may use it. Its mutex is held for short: the only system calls
// meanwhile have a new socket watched and tell its address, and the only calls of an Asker are Again and Sent. So whoever
// holds other mutexes may call it.
type Engine struct {
	Panics observe.Panics // of askers, beyond what they recover from

	mu      sync.Mutex
	users   int
	began   time.Time
	log     *slog.Logger
	receive *receiver // nil until the first query
	sockets map[int32]*socket
	others  map[int32]Watcher // by serial, as sockets
	serial  int32
	wheel   wheel
	timer   *time.Timer
	armed   time.Duration // when the timer fires; 0 for never
	closing []int         // descriptors to close when the mutex is free
	failing []failure     // to be told when the mutex is free
	random  [512]byte     // the last left of it have not been used
	left    int
	told    *sync.WaitGroup // failures that are being told, of queries to receive
}

// failure is a query without a reply.
type failure struct {
	asker Asker
	err   error
}

// Start lets queries be asked until Stop is called as often as Start.
func (e *Engine) Start(log *slog.Logger) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.users++
	e.log = log
}

// Running reports whether Start has been called, and Stop not yet as often.
func (e *Engine) Running() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.users > 0
}

// Stop returns when the last user's goroutines have ended and its sockets are closed. None of its queries waits by then.
func (e *Engine) Stop() {
	e.mu.Lock()
	if e.users--; e.users > 0 || e.receive == nil {
		e.mu.Unlock()
		return
	}
	for _, s := range e.sockets {
		e.fail(s, os.ErrClosed)
	}
	e.timer.Stop()
	r, told := e.receive, e.told
	e.receive, e.armed = nil, 0
	e.unlock()
	r.stop()
	told.Wait()
}

// Open is how many sockets of p are open.
func (e *Engine) Open(p *Peer) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return p.open
}

// unlock frees the mutex, closes what is to be closed, and tells in a goroutine what has failed: that may log.
func (e *Engine) unlock() {
	closing, failing := e.closing, e.failing
	e.closing, e.failing = nil, nil
	if len(failing) > 0 {
		log := e.log
		e.told.Go(func() {
			for _, f := range failing {
				e.tell(log, f)
			}
		})
	}
	e.mu.Unlock()
	for _, fd := range closing {
		unix.Close(fd)
	}
}

// tell tells an asker that its query has failed. A panic costs that query, not those that are to be told after it.
func (e *Engine) tell(log *slog.Logger, f failure) {
	defer e.Panics.Survive(log, "forward")
	f.asker.Fail(f.err)
}

// begin starts what the first query needs, and reports whether queries may be asked.
func (e *Engine) begin() bool {
	if e.receive != nil || e.users == 0 {
		return e.users > 0
	}
	r, err := newReceiver(e)
	if err != nil {
		return false
	}
	e.receive, e.told = r, new(sync.WaitGroup) // Stop may still wait for those of the receiver before
	if e.sockets == nil {
		e.sockets, e.others, e.began = map[int32]*socket{}, map[int32]Watcher{}, time.Now()
		e.timer = time.AfterFunc(time.Hour, e.fire)
		e.timer.Stop()
	}
	go r.run()
	return true
}

// since is now for the wheel. It may have been taken just before the wheel began.
func (e *Engine) since(now time.Time) time.Duration { return max(0, now.Sub(e.began)) }

// schedule has t fire at a time.
func (e *Engine) schedule(t *timed, at, now time.Duration) {
	e.wheel.add(t, at, now)
	e.arm(time.Duration(tickOf(at))*tick, now)
}

// arm has fire called at a tick, or before.
func (e *Engine) arm(at, now time.Duration) {
	if e.armed == 0 || at < e.armed {
		e.armed = at
		e.timer.Reset(at - now)
	}
}

// fire looks after what is due.
func (e *Engine) fire() {
	var again []outgoing
	e.mu.Lock()
	now := e.since(time.Now())
	e.armed = 0
	for _, t := range e.wheel.expire(now) {
		switch of := t.of.(type) {
		case *socket:
			e.retire(of)
		case *Query:
			switch {
			case of.socket == nil: // it has failed with its socket just now
			case of.end > now && !of.second:
				again = append(again, e.again(of, now))
			default:
				e.giveUp(of, os.ErrDeadlineExceeded)
			}
		}
	}
	if at, more := e.wheel.next(); more && e.receive != nil {
		e.arm(at, now)
	}
	e.unlock()
	if len(again) > 0 {
		out := e.outbox(nil)
		for _, one := range again {
			out.add(one.socket, one.packet)
		}
		out.sendAll()
	}
}

// receiver is the goroutine that receives all replies. It waits as a reader of the listeners does: in the kernel, without
// telling the scheduler, while replies come fast, and parked else.
type receiver struct {
	engine  *Engine
	log     *slog.Logger
	epoll   int // of all sockets
	bell    int // an eventfd that ends it
	park    *Park
	pace    Pace
	raw     bool // the runtime can interrupt a wait that it does not know of
	ended   chan struct{}
	stopped bool // under the engine's mutex
	cycle   Cycle

	events [mostReady]unix.EpollEvent
	slots  [mostReady]*arrived
	others []watched // that are ready
}

const (
	mostReady = 32   // sockets of which one cycle takes replies
	mostOf    = 8    // replies of one socket that one system call takes
	slotSize  = 4097 // octets: one more than the largest reply that anybody offers, to tell that there is more
)

// arrived is what has come from one socket.
type arrived struct {
	socket   *socket
	waits    int  // queries of the socket that wait, and so replies that are to come
	failing  bool // the network has refused a packet
	count    int
	errno    unix.Errno
	queries  [mostOf]*Query // nil for a datagram that is no reply
	second   [mostOf]bool
	messages [mostOf]Message
	vecs     [mostOf]unix.Iovec
	data     [mostOf][slotSize]byte
}

func newReceiver(e *Engine) (*receiver, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	r := &receiver{engine: e, log: e.log, epoll: epoll, bell: -1, ended: make(chan struct{}),
		raw: !strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff=1")}
	if r.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, r.bell, &unix.EpollEvent{Events: unix.EPOLLIN})
	}
	if err == nil {
		r.park, err = NewPark(epoll)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *receiver) close() {
	if r.park != nil {
		r.park.Close()
	}
	if r.bell >= 0 {
		unix.Close(r.bell)
	}
	unix.Close(r.epoll)
}

// stop returns when the goroutine has ended.
func (r *receiver) stop() {
	r.engine.mu.Lock()
	r.stopped = true
	r.engine.mu.Unlock()
	unix.Write(r.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-r.ended
	r.close()
}

func (r *receiver) run() {
	defer close(r.ended)
	for r.round() {
	}
}

// round waits for replies and deals with them, until it reports false.
func (r *receiver) round() (more bool) {
	defer r.engine.Panics.Survive(r.log, "forward")
	more = true
	n, errno := r.wait()
	switch {
	case n > 0:
		more = r.receive(n)
		r.pace.Yield(time.Now())
	case errno == unix.EINTR: // the runtime wants this thread, and gets it at the next prologue
	case errno == 0:
		r.pace.Idle()
	default:
		time.Sleep(10 * time.Millisecond)
	}
	return more
}

// wait waits until sockets are readable.
func (r *receiver) wait() (int, unix.Errno) {
	if r.pace.Awake {
		return r.ready(int(IdleTime / time.Millisecond))
	}
	r.park.Wait()
	r.pace.Woken(time.Now())
	return r.ready(0)
}

// ready is how many sockets are readable. It waits for them for some milliseconds at most. It must not be inlined, because
// its prologue is where a stop-the-world can stop the receiver between two calls.
//
//go:noinline
func (r *receiver) ready(milliseconds int) (int, unix.Errno) {
	if !r.raw {
		n, err := unix.EpollWait(r.epoll, r.events[:], milliseconds)
		errno, _ := err.(unix.Errno)
		return n, errno
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(r.epoll), uintptr(unsafe.Pointer(&r.events[0])),
		mostReady, uintptr(milliseconds), 0, 0)
	return int(n), errno
}

// receive takes what has come from the first n sockets that are ready: the datagrams with the mutex free, then the queries
// that they answer with one look into the table, then each answer.
func (r *receiver) receive(n int) (more bool) {
	datagrams, more := r.sort(n)
	for _, a := range datagrams {
		a.receive()
	}
	defer r.cycle.flush()
	if len(datagrams) > 0 {
		r.engine.matchAll(datagrams)
	}
	for _, a := range datagrams {
		r.deliver(a)
	}
	for _, w := range r.others {
		r.tellReady(w)
	}
	clear(r.others)
	return more
}

// sort finds out what the first n events are about.
func (r *receiver) sort(n int) (datagrams []*arrived, more bool) {
	e := r.engine
	r.others = r.others[:0]
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range n {
		event := &r.events[i]
		if s := e.sockets[event.Fd]; s != nil {
			a := r.slot(len(datagrams))
			a.socket, a.waits, a.failing = s, s.live, event.Events&unix.EPOLLERR != 0
			s.holds++
			datagrams = r.slots[:len(datagrams)+1]
		} else if w := e.others[event.Fd]; w != nil {
			r.others = append(r.others, watched{w, event.Events&unix.EPOLLOUT != 0})
		}
	}
	return datagrams, !r.stopped
}

// slot is the i-th place for what comes.
func (r *receiver) slot(i int) *arrived {
	if r.slots[i] == nil {
		r.slots[i] = newArrived()
	}
	return r.slots[i]
}

// watch has the receiver take what comes to s.
func (r *receiver) watch(s *socket) bool {
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: s.serial}) == nil
}

func newArrived() *arrived {
	a := new(arrived)
	for i := range a.messages {
		a.vecs[i].Base = &a.data[i][0]
		a.vecs[i].SetLen(slotSize)
		a.messages[i].Header.Iov = &a.vecs[i]
		a.messages[i].Header.SetIovlen(1)
	}
	return a
}

// receive takes what has come, or else why the socket is ready. What comes beside the replies that are to come is left for
// the next cycle.
func (a *arrived) receive() {
	most := min(max(a.waits, 1), mostOf)
	if a.count, a.errno = Receive(a.socket.fd, a.messages[:most], unix.MSG_DONTWAIT); a.errno != 0 {
		a.count = 0
	}
	if a.errno == unix.EAGAIN && a.failing {
		a.errno = refusal(a.socket.fd)
	}
}

// packet is the i-th datagram.
func (a *arrived) packet(i int) []byte { return a.data[i][:min(a.messages[i].Size, slotSize)] }

func (e *Engine) matchAll(all []*arrived) {
	e.mu.Lock()
	defer e.unlock()
	for _, a := range all {
		e.match(a)
	}
}

// match finds the queries that the datagrams answer, and takes them from the table.
func (e *Engine) match(a *arrived) {
	s := a.socket
	for i := range a.count {
		a.queries[i] = nil
		packet := a.packet(i)
		var t *ticket
		if len(packet) >= wire.HeaderSize {
			t = s.find(binary.BigEndian.Uint16(packet))
		}
		switch {
		case s.mismatches >= MostMismatches: // it is given up below
		case t != nil && t.query == nil: // late, or twice
		case t != nil && wire.IsReply(packet, t.id, t.query.question()):
			a.queries[i], a.second[i] = t.query, t.second
			e.remove(t.query)
		default:
			s.mismatched()
		}
	}
	switch {
	case a.errno != 0 && a.errno != unix.EAGAIN && a.errno != unix.EINTR:
		e.fail(s, a.errno)
	case s.mismatches >= MostMismatches:
		e.fail(s, ErrSpoofed)
	}
	e.release(s)
}

// deliver hands the replies to those who have asked.
func (r *receiver) deliver(a *arrived) {
	for i := range a.count {
		if q := a.queries[i]; q != nil {
			a.queries[i] = nil
			r.tell(q, a.packet(i), a.second[i])
		}
	}
	a.socket = nil
}

// tell tells the asker of q the reply. A panic costs that query, not the others of the cycle.
func (r *receiver) tell(q *Query, reply []byte, second bool) {
	defer r.engine.Panics.Survive(r.log, "forward")
	q.asker.Reply(reply, second, &r.cycle)
}
