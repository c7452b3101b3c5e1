package listen

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// batchSize is how many datagrams one system call reads at most.
const batchSize = 32

// openEngine opens the sockets of UDP: of the batch engine where it can run, else of the portable one.
func openEngine(address netip.AddrPort, options Options) (engine, error) {
	if len(options.Siblings) == 0 {
		if err := probe(address); err != nil {
			return nil, err
		}
	}
	if options.engine == onlyPortable {
		return openPortable(address, options)
	}
	b, err := openBatch(address, options)
	if err != nil {
		return nil, err
	}
	why := b.unusable()
	if why == "" {
		return b, nil
	}
	b.close()
	if options.engine == onlyBatch {
		return nil, errors.New("the batch engine cannot run here: " + why)
	}
	options.Logger.Info("listen: UDP is served by the portable engine, at a higher cost", "reason", why)
	return openPortable(address, options)
}

// batch is the engine for Linux: readers with a socket each, between which the kernel divides the clients
// (SO_REUSEPORT).
//
// A reader waits in recvmmsg without telling the scheduler (RawSyscall), because telling it is most of what a Go
// server's query costs at the rates that clusters see. Three things make that safe. The socket has SO_RCVTIMEO, so the
// runtime's preemption signal ends the call with EINTR instead of restarting it, and the next function prologue lets a
// stop-the-world proceed. GOMAXPROCS counts each reader on top of what the rest needs (Processors). And a reader that
// had nothing to do for datagram.IdleTime is parked, so that an idle server costs nothing. While queries come, a reader yields
// before sysmon preempts it (Pace.Yield). It is not locked to its thread: a preemption would then take four switches
// between threads.
type batch struct {
	address  netip.AddrPort
	readers  []*reader
	steering *steering
	stop     atomic.Bool
	mu       sync.Mutex // for closed: a scrape must not ask a descriptor that by now belongs to something else
	closed   bool
}

func openBatch(address netip.AddrPort, options Options) (*batch, error) {
	b := &batch{address: address}
	for range options.Readers {
		fd, err := openSocket(address, true, options.Buffer)
		if err != nil {
			b.close()
			return nil, err
		}
		park, err := datagram.NewPark(fd)
		if err != nil {
			unix.Close(fd)
			b.close()
			return nil, err
		}
		b.readers = append(b.readers, newReader(&b.stop, fd, park, address.Addr()))
	}
	if len(options.Siblings) == 0 { // else the first sockets of the address may be theirs
		b.steering = newSteering(b.readers)
	}
	return b, nil
}

// unusable is why the engine cannot run here, "" when it can.
func (b *batch) unusable() string {
	if strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff=1") {
		return "GODEBUG=asyncpreemptoff=1"
	}
	for _, r := range b.readers {
		timeout := unix.NsecToTimeval(datagram.IdleTime.Nanoseconds())
		if err := unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return "SO_RCVTIMEO: " + err.Error()
		}
	}
	r := b.readers[0]
	if _, errno := datagram.Receive(r.fd, nil, unix.MSG_DONTWAIT); errno != 0 && errno != unix.EAGAIN {
		return "recvmmsg: " + errno.Error() // ENOSYS or EPERM of a seccomp profile
	}
	if _, errno := datagram.Send(r.fd, nil, unix.MSG_DONTWAIT); errno != 0 {
		return "sendmmsg: " + errno.Error()
	}
	return ""
}

func (b *batch) String() string { return "batch" }

func (b *batch) tallies() []*tally {
	var all []*tally
	for _, r := range b.readers {
		all = append(all, &r.tally)
	}
	return all
}

func (b *batch) sockets() []socketState {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	var states []socketState
	for _, r := range b.readers {
		states = append(states, stateOf(r.fd))
	}
	return states
}

func (b *batch) failures() (n uint64) {
	for _, r := range b.readers {
		n += r.failed.Load()
	}
	return n
}

func (b *batch) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed = true
	for _, r := range b.readers {
		r.park.Close()
		unix.Close(r.fd)
	}
}

func (b *batch) run(ctx context.Context, l *Listener) {
	stop := context.AfterFunc(ctx, b.wake)
	defer stop()
	var readers sync.WaitGroup
	for _, r := range b.readers {
		r.steering = b.steering
		r.worker = newWorker(l, &r.tally, l.options.Log.Buffer(), l.options.Traffic.Recorder())
		readers.Go(r.run)
	}
	readers.Wait()
}

// wake ends the readers after they have read what has arrived: shutting down a UDP socket wakes whoever waits on it.
func (b *batch) wake() {
	b.steering.end()
	for _, r := range b.readers {
		detach(r.fd, b.address)
	}
	b.stop.Store(true)
	for _, r := range b.readers {
		unix.Shutdown(r.fd, unix.SHUT_RD)
	}
}
