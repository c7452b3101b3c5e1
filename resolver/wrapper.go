package resolver

import (
	"slices"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// wrapped is a question that a wrapper has let through to the steps and whose answer it waits for.
type wrapped struct {
	by    wrapper
	mark  wire.Mark // the reply before the steps ran
	asked question  // without its name, which is the client's or is in the reply at owner
	links int       // aliases followed before

	placed int    // octets of the name that PlaceName has written at the mark
	undo   []undo // of rewrite: the rules that have something to do with the answer, in order
	ttl    uint32 // of dns64: the largest TTL of a synthesized record; of search: that of the alias
	// again is, of rewrite: the target of an alias was changed; of dns64: A has been asked for; of autopath and search: the
	// first name is asked for again; of grpc: the steps behind it have been asked.
	again  bool
	domain int // of autopath and search: labels of the first search domain
	step   int // of autopath and search: the index in the search list

	first   *result     // of autopath and search: the upstream's answer for the first name, if no cache keeps it
	target  wire.Offset // of search: where the name in the list is in the reply
	instead bool        // of search: A is asked for in the place of AAAA

	authoritative bool // of rewrite: the answer with the old target was

	pattern *pattern       // of template: the one that matched; nil for none
	vars    map[string]any // of template: its variables
}

// wrapper is a step that changes the question before the steps behind it or the answer after them, such as rewrite and
// dns64. after sees the finished answer. It may change the answer, or set Request.question to another question and
// return true: then the steps run again, and after sees that answer too.
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

// wrappedBy reports whether by waits for the answer already, since an alias leads back to its block.
func (r *Request) wrappedBy(by wrapper) bool {
	return slices.ContainsFunc(r.wrapped, func(w wrapped) bool { return w.by == by })
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

// keptMessage is the octets of scratch that a request keeps for Rework: more than most replies have.
const keptMessage = 8 << 10

// rework writes the answer that w surrounds once more, each record as change leaves it.
func (r *Request) rework(w *wrapped, change func(*wire.Written)) {
	r.message = r.Reply.Rework(w.mark, w.placed, r.message, change)
	if cap(r.message) > keptMessage {
		r.message = nil
	}
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
