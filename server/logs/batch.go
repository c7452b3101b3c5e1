package logs

import (
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Batch collects the records of one batch of queries until it is known how long they took. It is used again for the
// next batch.
type Batch struct {
	Buffer  *Buffer // where the records go; nil for nowhere
	records []record
}

// Add notes a query and its reply if rules want a line for it. dropped says that a rule of the server block has kept
// the reply from the client.
func (b *Batch) Add(rules Rules, request *resolver.Request, reply []byte, size int, dropped bool) {
	if b.Buffer == nil {
		return
	}
	if format := rules.format(request, reply); format != nil {
		b.records = append(b.records, record{})
		r := &b.records[len(b.records)-1]
		r.fill(request, reply, size)
		r.format, r.dropped, r.metadata = format, dropped, format.metadata(request, reply)
		r.explain(request)
		r.pod = format.pod(request.Client.Addr().Unmap())
	}
}

// End passes the records on. Their queries took elapsed.
func (b *Batch) End(elapsed time.Duration) {
	if len(b.records) == 0 {
		return
	}
	for i := range b.records {
		b.records[i].elapsed = elapsed
	}
	b.Buffer.add(b.records)
	b.records = b.records[:0]
}

// record is what a line can say about one query.
type record struct {
	format    format
	metadata  []string // the values of the format's labels, in order; noValue for none
	reason    string   // the text of the Extended DNS Error, also where the client has no EDNS; "" for none
	pod       string   // that asks; "" for none
	info      wire.InfoCode
	at        time.Time
	client    netip.AddrPort
	local     netip.Addr
	elapsed   time.Duration
	size      int
	replySize int
	proto     resolver.Proto
	dropped   bool
	id        uint16
	flags     uint16 // of the query
	replied   uint16 // flags of the reply
	typ       wire.Type
	class     wire.Class
	rcode     wire.Rcode
	bufsize   uint16
	do        bool
	nameSize  uint8
	name      [wire.MaxName]byte
}

func (r *record) fill(request *resolver.Request, reply []byte, size int) {
	q := &request.Query
	r.at, r.client, r.local, r.proto = request.Now, request.Client, request.Local, request.Proto
	r.bufsize = uint16(request.Proto.Limit(q, wire.MaxMessage))
	r.id, r.flags, r.typ, r.class, r.do = q.ID, q.Flags, q.Type, q.Class, q.DO
	r.size, r.replySize, r.rcode = len(q.Packet), size, request.Reply.Rcode
	r.replied = 0
	if len(reply) >= wire.HeaderSize {
		r.replied = uint16(reply[2])<<8 | uint16(reply[3])
	}
	r.nameSize = uint8(copy(r.name[:], q.Name()))
}

// explain keeps why there is no answer, which costs an allocation; an answer has no reason.
func (r *record) explain(request *resolver.Request) {
	r.reason = ""
	if info, text := request.Reply.Explanation(); len(text) > 0 && r.format.explains() {
		r.info, r.reason = info, string(text)
	}
}
