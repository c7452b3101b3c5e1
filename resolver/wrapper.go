package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

// wrapped is a question that a wrapper has let through to the steps and whose answer it waits for.
type wrapped struct {
	by    wrapper
	mark  wire.Mark // the reply before the question
	asked question  // as it was, but for the name: that is the client's, or stands in the reply at its owner
	links int       // aliases that had been followed

	placed int    // octets of the name that stands behind the mark instead of a record
	undo   []undo // of rewrite: what its rules have done to the name, in their order
	ttl    uint32 // of dns64: the most that a synthesized record may have
	again  bool   // of dns64: the question has been asked again
}

// wrapper is a directive that changes the question before the steps or the answer after them: rewrite and dns64. after
// sees the finished answer. It may change the answer, or set Request.question to another question and return true: then
// the steps run again, and after sees that answer too.
type wrapper interface {
	after(r *Request, w *wrapped, res result) (again bool)
}

// wrap remembers q, and the reply so far, for the wrapper by.
func (r *Request) wrap(by wrapper, q *question) *wrapped {
	asked := *q
	asked.name = nil // it may be another request's by then
	r.wrapped = append(r.wrapped, wrapped{by: by, mark: r.Reply.Mark(), asked: asked, links: r.links})
	return &r.wrapped[len(r.wrapped)-1]
}

// unwrap shows the answer to the wrappers, the innermost first. It reports whether one of them asks another question.
func (r *Request) unwrap(res result) (again bool) {
	for last := len(r.wrapped) - 1; last >= 0; last-- {
		if w := &r.wrapped[last]; w.by.after(r, w, res) {
			return true
		}
		r.wrapped = r.wrapped[:last]
	}
	return false
}

// repeat takes the reply and the question back to what they were when w was wrapped.
func (r *Request) repeat(w *wrapped) *question {
	r.Reply.Rewind(w.mark)
	r.links, r.fallback = w.links, nil
	q := &r.question
	*q = w.asked
	if q.asked {
		q.name = &r.Query.QName
	} else {
		q.name = &r.name
		r.Reply.ReadName(q.owner, q.name)
	}
	return q
}
