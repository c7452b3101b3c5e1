package listen

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/clusterdns/clusterdns/observe/traffic"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Sizes of one datagram's buffers. Queries have hundreds of octets at most; one that does not fit is malformed. No
// reply is larger than the directive bufsize may be.
const (
	querySize = 2048
	replySize = 4096
)

// worker answers packets for one goroutine: a reader of UDP, a connection with queries under way, or a flight whose
// answer has come.
// Work is done between begin and end; end counts and logs, after the replies are on their way.
type worker struct {
	listener *Listener
	tally    *tally
	lines    logs.Batch // of the query log
	traffic  traffic.Batch
	serving  *serving
	request  resolver.Request
	facts    []fact
	silent   int  // packets of this batch that got no answer
	foreign  bool // among them was one that is no query
}

func newWorker(l *Listener, tally *tally, log *logs.Buffer, recorder *traffic.Recorder) *worker {
	return &worker{listener: l, tally: tally, lines: logs.Batch{Buffer: log}, traffic: traffic.Batch{Recorder: recorder}}
}

// leave says that the worker, which has its buffers alone, has ended.
func (w *worker) leave() {
	w.lines.Buffer.End()
	w.traffic.Recorder.End()
}

// begin starts a batch that arrived now.
func (w *worker) begin(now time.Time, proto resolver.Proto) {
	w.serving = w.listener.serving.Load()
	w.request.Now, w.request.Proto = now, proto
	w.facts, w.silent, w.foreign = w.facts[:0], 0, false
	w.traffic.Begin()
}

// serve answers one packet into buf. With Send the reply is the returned slice, with Pending the query must await
// upstream.
func (w *worker) serve(
	packet, buf []byte, client netip.AddrPort, local netip.Addr,
) (reply []byte, result resolver.Result) {
	defer func() {
		if cause := recover(); cause != nil {
			reply, result = w.recovered(cause, buf)
		}
	}()
	r := &w.request
	r.Client, r.Local, r.LocalPort = client, local, w.listener.address.Port()
	reply, result = w.serving.answerer.Answer(r, packet, buf)
	if result == resolver.Send || result == resolver.Drop {
		w.note(reply, result)
	}
	return reply, result
}

// note records what became of the request, for end.
func (w *worker) note(reply []byte, result resolver.Result) {
	if result == resolver.Send {
		w.request.Replied(reply)
	}
	w.noteAll(reply, len(reply), result)
}

// noteAll is note for a reply of several messages, of which reply is the last one and size all their octets.
func (w *worker) noteAll(reply []byte, size int, result resolver.Result) {
	defer w.request.Ended()
	block := w.serving.block(&w.request)
	if result == resolver.Drop {
		w.silent++
		if block == nil { // no rule of a server block has dropped it
			w.foreign = true
			return
		}
	}
	if slot := block.slot(&w.request); slot != noSlot {
		w.facts = append(w.facts, makeFact(&w.request, slot, min(size, wire.MaxMessage)))
	}
	if block != nil && len(block.log) > 0 {
		w.lines.Add(block.log, &w.request, reply, size, result == resolver.Drop)
	}
	if w.traffic.On() && result != resolver.Drop {
		w.watch()
	}
}

// watch counts the query for the page.
func (w *worker) watch() {
	r := &w.request
	s := w.traffic.Count(uint8(min(r.Reply.Rcode, otherRcode)), uint8(r.Source))
	if s == nil {
		return
	}
	s.Client, s.TCP, s.Type = r.Client, r.Proto.Carrier() == resolver.TCP, uint16(r.Query.Type)
	s.Searched = r.OfSearchList()
	s.SetName(r.Query.QName.Name())
	info, reason := r.Reply.Explanation()
	s.Info = uint16(info)
	s.SetReason(reason)
}

// end counts and logs the batch.
func (w *worker) end(now time.Time) {
	elapsed := now.Sub(w.request.Now)
	w.tally.add(w.facts, w.silent, elapsed, w.serving.zones)
	w.lines.End(elapsed)
	w.traffic.End(now, elapsed)
}

// overflow answers the request when the bound of queries that wait for upstream is reached.
func (w *worker) overflow(buf []byte) []byte {
	reply := servfail(&w.request, buf, "too many queries are waiting for upstream")
	w.note(reply, resolver.Send)
	return reply
}

// recovered answers after a panic: one query is lost, not the server.
func (w *worker) recovered(cause any, buf []byte) ([]byte, resolver.Result) {
	if w.serving.crash {
		crash(cause)
	}
	w.listener.panics.CountServer(w.listener.options.Logger, w.listener.Label(), cause, w.serving.traced)
	if len(w.request.Query.Packet) < wire.HeaderSize {
		return nil, resolver.Drop
	}
	w.request.Block = -1
	reply := servfail(&w.request, buf, "internal error")
	w.note(reply, resolver.Send)
	return reply, resolver.Send
}

// crash ends the process by a panic, with the stack of this one's. Whoever called may recover from panics: a flight does,
// which has the queries answered that waited for it.
func crash(cause any) {
	stack := debug.Stack()
	go panic(fmt.Sprintf("%v\n\n%s", cause, stack))
	select {}
}

// servfail writes a SERVFAIL with an Extended DNS Error (RFC 8914).
func servfail(request *resolver.Request, buf []byte, why string) []byte {
	const size = resolver.DefaultBufsize
	request.Source = resolver.None
	request.Reply.Start(&request.Query, buf, request.Proto.Limit(&request.Query, size), size)
	request.Reply.Rcode = wire.ServerFailure
	request.Reply.SetFlags(wire.FlagRA)
	request.Reply.Explain(wire.Other, why)
	return request.Reply.Finish()
}

// survive is deferred where what comes from the network is read, framed, counted or sent: outside of one query, whose
// panics end in recovered. What was under way is lost, and its goroutine goes on.
func (l *Listener) survive() {
	if cause := recover(); cause != nil {
		s := l.serving.Load()
		if s.crash {
			panic(cause)
		}
		l.panics.CountServer(l.options.Logger, l.Label(), cause, s.traced)
	}
}
