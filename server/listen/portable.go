package listen

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/resolver/datagram"
)

// portable is the engine that runs everywhere: a few goroutines that read one net.UDPConn.
type portable struct {
	conn       *net.UDPConn
	address    netip.AddrPort // its host is where all queries were sent to, unless control messages say otherwise
	control    bool           // replies need a control message to leave from the address that the query was sent to
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

func (p *portable) run(ctx context.Context, l *Listener) {
	defer context.AfterFunc(ctx, func() {
		detachConn(p.conn, p.address)
		p.conn.SetReadDeadline(time.Now().Add(lastLook))
	})()
	var readers sync.WaitGroup
	for i := range p.readers {
		readers.Go(func() { p.read(ctx, newWorker(l, p.counts[i], l.options.Log.Buffer(), l.options.Traffic.Recorder())) })
	}
	readers.Wait()
}

// lastLook is how long datagrams that arrived before the end are still read.
const lastLook = 20 * time.Millisecond

// read serves one datagram after the other until ctx ends and there is none left.
func (p *portable) read(ctx context.Context, w *worker) {
	defer w.leave()
	in, out, control := make([]byte, querySize), make([]byte, 0, replySize), make([]byte, controlSize)
	for {
		n, controls, _, client, err := p.conn.ReadMsgUDPAddrPort(in, control)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			observe.Pause(ctx, 10*time.Millisecond) // a socket that fails at every call must not take a whole CPU
			continue
		}
		p.serve(w, in[:n], out, control[:controls], client)
	}
}

// serve answers one datagram.
func (p *portable) serve(w *worker, packet, out, control []byte, client netip.AddrPort) {
	defer w.listener.survive()
	w.begin(time.Now(), resolver.UDP)
	from, local := p.source(control)
	reply, result := w.serve(packet, out, unmap(client), local)
	if result == resolver.Pending {
		q := &portableQuery{p: p, control: append([]byte(nil), from...), client: client}
		reply, result = w.await(&q.pendingQuery, q, out)
	}
	if result == resolver.Send {
		p.send(reply, from, client)
	}
	w.end(time.Now())
}

// source is the control message that makes a reply leave from the address that the query was sent to, and that address.
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

// portableQuery is a query that waits for upstream, and where its reply goes.
type portableQuery struct {
	pendingQuery
	p       *portable
	control []byte
	client  netip.AddrPort
}

// ready sends the late reply, in the goroutine of the flight.
func (q *portableQuery) ready(*pendingQuery, *datagram.Cycle) {
	q.listener.finish(&q.pendingQuery, q.again, func(reply []byte) { q.p.send(reply, q.control, q.client) })
}

// again is the same query for another wait.
func (q *portableQuery) again() *pendingQuery {
	next := &portableQuery{p: q.p, control: q.control, client: q.client}
	next.to = next
	return &next.pendingQuery
}

func (p *portable) send(reply, control []byte, client netip.AddrPort) {
	if _, _, err := p.conn.WriteMsgUDPAddrPort(reply, control, client); err != nil {
		p.sendErrors.Add(1)
	}
}

// unmap turns the IPv4-mapped form that addresses have on a socket for both families into plain IPv4.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
