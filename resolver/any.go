package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

const (
	anyTTL  = 8482 // as in CoreDNS
	anyData = "\x0dANY obsoleted\x0cSee RFC 8482"
)

// answerAny answers questions for any type with a HINFO record (directive any, RFC 8482 section 4.2).
func answerAny(r *Request, q *question) result {
	if q.qtype != wire.TypeANY || q.class != wire.ClassIN && q.class != wire.ClassANY {
		return result{}
	}
	r.Reply.AddRecord(q.owner, wire.TypeHINFO, anyTTL, anyData)
	return result{outcome: answered, source: FromAny}
}
