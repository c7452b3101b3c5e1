package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

// question is what the steps are asked: at first what the client asks, later perhaps another name or type.
type question struct {
	name   *wire.QName // Query.QName while it is the client's, else Request.name
	qtype  wire.Type
	owner  wire.Offset // where the name stands in the reply
	asked  bool        // it is what the client asked
	scope  *scope      // of name; nil when no server block has it
	before int         // records in the answer section that other questions have left there
}

// forwarders are those that take the question's name, in the order in which they are asked.
func (q *question) forwarders() []*forwarder {
	if q.name.Labels() == q.scope.depth {
		return q.scope.forwardsZone
	}
	return q.scope.forwards
}

// apex is where the name of a zone of so many labels, which the question's name is in, stands in the reply: at the end of the name.
func (q *question) apex(reply *wire.Reply, labels int) wire.Offset {
	return reply.Suffix(q.owner, q.name.Labels()-labels)
}

// wants reports whether records of type t answer the question. ANY is answered with one rrset, the first there is (RFC 8482
// section 4.1).
func (q *question) wants(reply *wire.Reply, t wire.Type) bool {
	return q.qtype == t || q.qtype == wire.TypeANY && q.empty(reply)
}

// empty reports whether the question has no records in the answer section.
func (q *question) empty(reply *wire.Reply) bool { return reply.Count(wire.Answer) == q.before }

// outcome is what became of a question in one step.
type outcome uint8

const (
	pass     outcome = iota // the next step's turn
	answered                // it has records
	nodata                  // the name exists without records of the type
	nxdomain                // the name does not exist
	failed                  // an rcode says why there is no answer
	alias                   // Request.question is another now, to be asked of the block that has its name
	drop                    // no reply
	pending                 // only an upstream knows, and blocking is not allowed here
	transfer                // a whole zone, in more than one message
)

// result is what a step says. finish turns it into the rest of the reply: the step has written the records of an answer, but for those of a
// message from upstream.
type result struct {
	outcome       outcome
	source        Source
	authoritative bool
	lookup        bool // without words, Request.match says why there are no records
	rcode         wire.Rcode
	info          wire.InfoCode
	words         string   // of an Extended DNS Error with that code; "" for none
	soa           soa      // of the zone that says that there are no records; zero for none
	message       *message // of an upstream; nil for none
	aging         aging    // how its TTLs are shown
}

// soa is what the SOA record of a cluster's zone says.
type soa struct {
	labels        int // of the zone, which the name is in
	serial        uint32
	ttl, negative uint32 // of the record, and its MINIMUM; seconds
	exists        bool   // there is one
}

// failure is the result of a step that can say no more than why.
func failure(source Source, rcode wire.Rcode, info wire.InfoCode, words string) result {
	return result{outcome: failed, source: source, rcode: rcode, info: info, words: words}
}

// refuse is the result where nothing here is responsible for the question. Where an alias led to it the answer is the chain so far,
// which is right as far as it goes (RFC 1034 section 4.3.2, step 3a): the client may know whom to ask for the rest.
func (r *Request) refuse(info wire.InfoCode, words string) result {
	if r.links > 0 {
		return failure(None, wire.NoError, info, words)
	}
	return failure(None, wire.Refused, info, words)
}

// finish writes what all answers of a kind share: the rcode, AA, why there are no records, and the SOA that goes with that (RFC 2308
// section 3).
func (r *Request) finish(q *question, res *result) {
	reply := &r.Reply
	if res.source != None {
		r.Source = res.source
	}
	if res.message != nil {
		res.message.write(r, q, res.aging)
	} else {
		reply.Rcode = res.rcode
	}
	if res.authoritative {
		reply.SetFlags(wire.FlagAA)
	}
	if res.words != "" {
		reply.Explain(res.info, res.words)
	} else if res.lookup {
		r.explain(&r.match)
	}
	if res.soa.exists {
		reply.Begin(wire.Authority)
		res.soa.write(reply, q)
	}
}

// write adds the record to the section at hand.
func (s *soa) write(reply *wire.Reply, q *question) {
	zone := q.name.Suffix(q.name.Labels() - s.labels)
	reply.AddSOA(q.apex(reply, s.labels), zone, s.ttl, labelsNS, labelsMaster, [5]uint32{s.serial, soaRefresh, soaRetry, soaExpire, s.negative})
}
