package server

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

// portable is the engine that runs everywhere: a few goroutines that read one net.UDPConn.
type portable struct {
	conn       *net.UDPConn
	address    netip.AddrPort  // its host is the address of all queries, unless control messages tell
	control    bool            // replies need a control message to leave from the address that was asked
	late       context.Context // of misses
	readers    int
	counts     []*tally
	sendErrors atomic.Uint64
}

func openPortable(address netip.AddrPort, options Options) (engine, error) {
	conn, control, err := listenPacket(address, options.Buffer)
	if err != nil {
		return nil, err
	}
	p := &portable{conn: conn, address: address, control: control, readers: options.Readers}
	for range options.Readers {
		p.counts = append(p.counts, &tally{})
	}
	return p, nil
}

func (p *portable) String() string         { return "portable" }
func (p *portable) tallies() []*tally      { return p.counts }
func (p *portable) sockets() []socketState { return connState(p.conn) }
func (p *portable) failures() uint64       { return p.sendErrors.Load() }
func (p *portable) close()                 { p.conn.Close() }

func (p *portable) run(ctx, late context.Context, l *Listener) {
	p.late = late
	defer context.AfterFunc(ctx, func() {
		deafenConn(p.conn, p.address)
		p.conn.SetReadDeadline(time.Now().Add(lastLook))
	})()
	var readers sync.WaitGroup
	pool := newMissPool(l, replySize)
	for i := range p.readers {
		readers.Go(func() { p.read(ctx, newWorker(l, p.counts[i], l.options.Log.Buffer()), pool) })
	}
	readers.Wait()
	l.misses.wait()
}

// lastLook is how long what has come before the end is still read.
const lastLook = 20 * time.Millisecond

// read serves one datagram after the other until ctx ends and there is none left.
func (p *portable) read(ctx context.Context, w *worker, pool *missPool) {
	defer w.lines.Buffer.End()
	in, out, control := make([]byte, querySize), make([]byte, 0, replySize), make([]byte, controlSize)
	for {
		n, controls, _, client, err := p.conn.ReadMsgUDPAddrPort(in, control)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			wait(ctx, 10*time.Millisecond) // a socket that fails at every call must not take a whole CPU
			continue
		}
		from, local := p.source(control[:controls])
		w.begin(time.Now(), resolver.UDP)
		reply, result := w.serve(in[:n], out, unmap(client), local)
		if result == resolver.Pending && !p.ask(w, pool, client, from) {
			reply, result = w.overflow(out), resolver.Send
		}
		if result == resolver.Send {
			p.send(reply, from, client)
		}
		w.end(time.Now())
	}
}

// source is the control message that makes a reply leave from the address that was asked, and that address.
func (p *portable) source(control []byte) ([]byte, netip.Addr) {
	if !p.control {
		return nil, p.address.Addr()
	}
	local, ok := replyFrom(control)
	if !ok {
		return nil, p.address.Addr()
	}
	return control, local
}

// ask hands the query over to a goroutine that may wait. It reports whether there was one left.
func (p *portable) ask(w *worker, pool *missPool, client netip.AddrPort, control []byte) bool {
	m := pool.get()
	m.take(w)
	from := append([]byte(nil), control...)
	started := w.listener.misses.start(func() {
		m.resolve(p.late, func(reply []byte) { p.send(reply, from, client) })
		pool.put(m)
	})
	if !started {
		pool.put(m)
	}
	return started
}

func (p *portable) send(reply, control []byte, client netip.AddrPort) {
	if _, _, err := p.conn.WriteMsgUDPAddrPort(reply, control, client); err != nil {
		p.sendErrors.Add(1)
	}
}

// unmap is the client's address without the form that IPv4 has on a socket for both families.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
