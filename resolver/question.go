package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

// question is what the steps are asked: first the client's question, later perhaps another name or type.
type question struct {
	name    *wire.QName // Query.QName while it is the client's, else Request.name
	qtype   wire.Type
	class   wire.Class
	owner   wire.Offset // where the name is in the reply
	asked   bool        // the name is the one that the client asked for
	scope   *scope      // of name; nil when no server block has it
	recurse bool        // RD: of the query, unless header has changed it
	options string      // EDNS options that go upstream, in wire form
	treated treatment   // by erratic
	next    int         // index of the step that is asked next; behind a wrapper's own when it asks again
	before  int         // records in the answer section from earlier questions
}

// forwarders are those for the question's name, in the order in which they are asked.
func (q *question) forwarders() []*forwarder {
	if q.name.Labels() == q.scope.depth {
		return q.scope.forwardsZone
	}
	return q.scope.forwards
}

// apex is where the name of the zone with that many labels is in the reply: it is the end of the question's name.
func (q *question) apex(reply *wire.Reply, labels int) wire.Offset {
	return reply.Suffix(q.owner, q.name.Labels()-labels)
}

// wants reports whether records of type t answer the question. ANY gets one rrset, the first that exists (RFC 8482
// section 4.1).
func (q *question) wants(reply *wire.Reply, t wire.Type) bool {
	return q.qtype == t || q.qtype == wire.TypeANY && q.empty(reply)
}

// empty reports whether the question has no records in the answer section.
func (q *question) empty(reply *wire.Reply) bool { return reply.Count(wire.Answer) == q.before }

// outcome is what a step made of a question.
type outcome uint8

const (
	pass     outcome = iota // nothing: the next step runs
	answered                // it has records
	nodata                  // the name exists without records of the type
	nxdomain                // the name does not exist
	failed                  // an rcode says why there is no answer
	alias                   // Request.question is now the target of a CNAME, to be looked up in its own block
	drop                    // no reply
	pending                 // an upstream must be asked, and blocking is not allowed here
	transfer                // a whole zone, in several messages
)

// result is what a step returns. The step has already written the records of an answer, except those of an upstream's
// message; finish writes the rest of the reply.
type result struct {
	outcome       outcome
	source        Source
	authoritative bool
	lookup        bool // Request.match says why there are no records, unless words does
	cut           bool // of a denial: the name is that of a zone below, of which there are no DS records
	rcode         wire.Rcode
	info          wire.InfoCode
	words         string   // text of an Extended DNS Error with that code; "" for none
	message       *message // from an upstream; nil for none
	aging         aging    // how the message's TTLs change
	soa           soa      // of the zone that denies the records; zero for none
}

// soa is what the SOA record of a zone of a cluster says.
type soa struct {
	zone          *servedZone // the question's name ends with its name; nil in the zero value
	serial        uint32
	ttl, negative uint32 // TTL and MINIMUM, in seconds
}

// failure is the result of a step that has no records, only a reason.
func failure(source Source, rcode wire.Rcode, info wire.InfoCode, words string) result {
	return result{outcome: failed, source: source, rcode: rcode, info: info, words: words}
}

// refuse is the result when nothing here is responsible for the question. If an alias led to it, the answer is the
// chain so far (RFC 1034 section 4.3.2, step 3a): the client may know whom to ask for the rest.
func (r *Request) refuse(info wire.InfoCode, words string) result {
	if r.links > 0 {
		return failure(None, wire.NoError, info, words)
	}
	return failure(None, wire.Refused, info, words)
}

// aged is res with the reason why it may be old, if there is one: what a cluster has had while its API server is away.
// Of an alias the rest of the chain may have more to say.
func (r *Request) aged(res result, why string) result {
	switch {
	case why == "" || res.outcome == failed:
	case res.outcome == alias:
		r.Reply.Explain(wire.StaleAnswer, why)
	case res.outcome == nxdomain:
		res.info, res.words = staleNoName, why
	default:
		res.info, res.words = wire.StaleAnswer, why
	}
	return res
}

// finish writes what answers of all kinds share: the rcode, AA, the Extended DNS Error, and the SOA of a denial (RFC
// 2308 section 3).
func (r *Request) finish(q *question, res *result) {
	reply := &r.Reply
	if res.source != None {
		r.Source = res.source
	}
	if res.message != nil {
		reply.Limit(r.Proto.Limit(&r.Query, q.scope.block.payload()))
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
	if res.soa.zone != nil {
		reply.Begin(wire.Authority)
		res.soa.write(reply, q)
	}
}

// write adds the SOA record to the reply's current section.
func (s *soa) write(reply *wire.Reply, q *question) {
	labels, mname, rname := s.zone.labels, labelsNS, labelsMaster
	if s.zone.info.reverse { // it has no ns.dns of its own
		mname = s.zone.info.ns
	} else if e := s.zone.info.external; e != nil {
		mname, rname = e.server, e.master
	}
	zone := q.name.Suffix(q.name.Labels() - labels)
	numbers := [5]uint32{s.serial, soaRefresh, soaRetry, soaExpire, s.negative}
	reply.AddSOA(q.apex(reply, labels), zone, s.ttl, mname, rname, numbers)
}
