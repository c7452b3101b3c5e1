package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

// minimal leaves out the authority and additional sections of positive answers (directive minimal). A denial keeps its
// SOA, which says how long it holds (RFC 2308 section 5), and a referral is nothing but those sections.
type minimal struct{}

func (m minimal) wrap(r *Request, q *question) result {
	r.wrap(m, q)
	return result{}
}

func (minimal) after(r *Request, w *wrapped, res result) (again bool) {
	if res.outcome == answered && r.Reply.Rcode == wire.NoError {
		r.Reply.CutBehindAnswer(w.mark)
	}
	return false
}
