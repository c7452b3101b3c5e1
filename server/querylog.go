package server

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/zones/wire"
)

const (
	// logBound is how many lines one worker may be ahead of the writer, 1.5 MB; what is more is dropped and counted.
	logBound = 4096
	// logPause is how long the writer collects lines before it writes again.
	logPause = 10 * time.Millisecond
)

// QueryLog writes the lines of the directive log. Workers leave records in buffers of their own; one goroutine, Run, makes lines of
// them. A slow disk or terminal costs lines, never queries.
type QueryLog struct {
	out     io.Writer
	dropped atomic.Uint64
	waiting atomic.Bool // the writer sleeps until wake
	wake    chan struct{}

	mu      sync.Mutex
	buffers []*logBuffer
}

// NewQueryLog writes to out, each time one or more whole lines.
func NewQueryLog(out io.Writer) *QueryLog {
	return &QueryLog{out: out, wake: make(chan struct{}, 1)}
}

// Dropped is how many lines were dropped because the writer could not keep up.
func (l *QueryLog) Dropped() uint64 { return l.dropped.Load() }

// Run writes until ctx ends, and then what is left. End the listeners first.
func (l *QueryLog) Run(ctx context.Context) {
	var text []byte
	var spare []logRecord
	for {
		l.waiting.Store(true) // before the last look, so that a record that is added after it wakes us
		wrote := false
		for _, b := range l.all() {
			spare = b.swap(spare)
			for i := range spare {
				text = append(spare[i].format.append(append(text, "[INFO] "...), &spare[i]), '\n')
				if len(text) > 1<<16 {
					l.out.Write(text)
					text = text[:0]
				}
			}
			wrote = wrote || len(spare) > 0
			l.forget(b)
		}
		if len(text) > 0 {
			l.out.Write(text) // a full disk is no reason to stop answering
			text = text[:0]
		}
		if !l.sleep(ctx, wrote) && !wrote {
			return
		}
	}
}

// sleep waits for records, or a moment if there just were some. It reports whether ctx goes on.
func (l *QueryLog) sleep(ctx context.Context, busy bool) bool {
	var pause <-chan time.Time
	wake := l.wake
	if busy {
		l.waiting.Store(false)
		pause, wake = time.After(logPause), nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-pause:
	}
	return true
}

// buffer makes a buffer for one worker; nil for no log.
func (l *QueryLog) buffer() *logBuffer {
	if l == nil {
		return nil
	}
	b := &logBuffer{log: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buffers = append(l.buffers, b)
	return b
}

// forget drops a buffer whose worker has ended, once it is empty.
func (l *QueryLog) forget(b *logBuffer) {
	b.mu.Lock()
	gone := b.ended && len(b.records) == 0
	b.mu.Unlock()
	if gone {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.buffers = slices.DeleteFunc(slices.Clone(l.buffers), func(other *logBuffer) bool { return other == b })
	}
}

// all is the buffers there are.
func (l *QueryLog) all() []*logBuffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffers[:len(l.buffers):len(l.buffers)]
}

// logBuffer holds the records of one worker, at most logBound. The writer takes them all at once by exchanging slices, so that the
// lock is held for a moment only.
type logBuffer struct {
	log     *QueryLog
	mu      sync.Mutex
	records []logRecord
	ended   bool
}

// end says that no more records come.
func (b *logBuffer) end() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// add copies records, which took elapsed, and wakes the writer if it sleeps.
func (b *logBuffer) add(records []logRecord, elapsed time.Duration) {
	for i := range records {
		records[i].elapsed = elapsed
	}
	b.mu.Lock()
	fit := min(len(records), logBound-len(b.records))
	b.records = append(b.records, records[:fit]...)
	b.mu.Unlock()
	if fit < len(records) {
		b.log.dropped.Add(uint64(len(records) - fit))
	}
	if b.log.waiting.Load() && b.log.waiting.CompareAndSwap(true, false) {
		select {
		case b.log.wake <- struct{}{}:
		default:
		}
	}
}

// swap returns the records and leaves empty in their place.
func (b *logBuffer) swap(empty []logRecord) []logRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.records
	b.records = empty[:0]
	return full
}

// logRecord is what a line can say about one query.
type logRecord struct {
	format    logFormat
	client    netip.AddrPort
	local     netip.Addr
	elapsed   time.Duration
	size      int
	replySize int
	id        uint16
	flags     uint16 // of the query
	replied   uint16 // flags of the reply
	typ       wire.Type
	class     wire.Class
	rcode     wire.Rcode
	bufsize   uint16
	proto     resolver.Proto
	do        bool
	nameSize  uint8
	name      [wire.MaxName]byte
}

func (r *logRecord) fill(format logFormat, request *resolver.Request, reply []byte) {
	q := &request.Query
	r.format, r.client, r.local, r.proto = format, request.Client, request.Local, request.Proto
	r.id, r.flags, r.typ, r.class, r.do, r.bufsize = q.ID, q.Flags, q.Type, q.Class, q.DO, q.UDPSize
	if request.Proto == resolver.TCP {
		r.bufsize = wire.MaxMessage
	}
	r.size, r.replySize, r.rcode = len(q.Packet), len(reply), request.Reply.Rcode
	r.replied = 0
	if len(reply) >= wire.HeaderSize { // a zone transfer has many messages, and none here
		r.replied = uint16(reply[2])<<8 | uint16(reply[3])
	}
	r.nameSize = uint8(copy(r.name[:], q.Name()))
}

// logRule is a compiled config.Log.
type logRule struct {
	zone    []byte // wire form
	format  logFormat
	classes config.Classes
}

func compileLog(logs []config.Log) []logRule {
	var rules []logRule
	for _, log := range logs {
		zone, err := wire.ParseName(log.Zone)
		if err != nil {
			continue // config has let only names through
		}
		rules = append(rules, logRule{zone, parseLogFormat(log.Format), log.Classes})
	}
	return rules
}

// logFormat is how the line of request looks, nil when it gets none.
func (b *servedBlock) logFormat(request *resolver.Request, reply []byte) logFormat {
	for i := range b.log {
		rule := &b.log[i]
		if !within(&request.Query, rule.zone) {
			continue
		}
		if rule.classes == config.AllClasses || rule.classes&classOf(request, reply) != 0 {
			return rule.format
		}
		return nil
	}
	return nil
}

// classOf is the class of a reply in the sense of `log … class`. A NOERROR without answers is a denial when the zone's SOA says so
// (RFC 2308 section 2.2), else a referral, or as empty as it was asked for.
func classOf(request *resolver.Request, reply []byte) config.Classes {
	answers := uint16(1)
	if len(reply) >= wire.HeaderSize {
		answers = uint16(reply[6])<<8 | uint16(reply[7])
	}
	switch {
	case request.Reply.Rcode == wire.NameError && answers == 0:
		return config.Denial
	case request.Reply.Rcode != wire.NoError:
		return config.Failure
	case answers == 0 && soaFollows(reply):
		return config.Denial
	}
	return config.Success
}

// soaFollows reports whether the authority section of a reply without answers has an SOA record.
func soaFollows(reply []byte) bool {
	at, ok := wire.SkipName(reply, wire.HeaderSize)
	if !ok {
		return false
	}
	at += 4
	var record wire.Record
	for range uint16(reply[8])<<8 | uint16(reply[9]) {
		if at, ok = record.Read(reply, at); !ok {
			return false
		}
		if record.Type == wire.TypeSOA {
			return true
		}
	}
	return false
}
