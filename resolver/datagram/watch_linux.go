package datagram

import "golang.org/x/sys/unix"

// Watcher has a descriptor that the receiving goroutine looks after beside the engine's own sockets.
type Watcher interface {
	// Ready says that there is something to read, or that the other side is gone, or that more can be written. The
	// receiving goroutine calls it, which it must not block.
	Ready(writable bool, c *Cycle)
}

// watched is a watcher that is to be told.
type watched struct {
	watcher  Watcher
	writable bool
}

// Watch has w told of fd, until Unwatch. It reports false where the engine does not run.
func (e *Engine) Watch(fd int, w Watcher) (id int32, ok bool) {
	e.mu.Lock()
	defer e.unlock()
	if !e.begin() {
		return 0, false
	}
	e.serial++
	id = e.serial
	if unix.EpollCtl(e.receive.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: id}) != nil {
		return 0, false
	}
	e.others[id] = w
	return id, true
}

// WatchWrites has the watcher told when fd takes more to send too, or not any more.
func (e *Engine) WatchWrites(id int32, fd int, on bool) {
	events := uint32(unix.EPOLLIN)
	if on {
		events |= unix.EPOLLOUT
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.receive != nil {
		unix.EpollCtl(e.receive.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: id})
	}
}

// Unwatch has nobody told of fd any more, except where the receiving goroutine is about to.
func (e *Engine) Unwatch(id int32, fd int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.others, id)
	if e.receive != nil {
		unix.EpollCtl(e.receive.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// tellReady tells a watcher. A panic costs what it does, not the others of the cycle.
func (r *receiver) tellReady(w watched) {
	defer r.engine.Panics.Survive(r.log, "forward")
	w.watcher.Ready(w.writable, &r.cycle)
}
