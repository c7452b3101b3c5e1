package resolver

import (
	"cmp"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// after changes the answer for the client: rules that matched are undone in reverse order. If a rule changes the target
// of an alias, the new target is asked for first. An answer with an invalid name becomes SERVFAIL.
func (rw *rewrites) after(r *Request, w *wrapped, _ result) (again bool) {
	switch {
	case w.again: // the answer is behind an alias whose target has been changed
		if !w.authoritative {
			r.Reply.ClearFlags(wire.FlagAA) // which is about the alias (RFC 1035 section 4.1.1)
		}
	case rw.retarget(r, w):
		return true
	}
	err := w.restoreRecords(r)
	for _, u := range slices.Backward(w.undo) {
		if u.rule.Field == RewriteRcode && uint16(r.Reply.Rcode) == u.rule.Old {
			r.Reply.Rcode = r.rcode(u.rule.New)
		}
	}
	if err != nil {
		r.Reply.Rewind(w.mark)
		r.Reply.Rcode, r.Source = wire.ServerFailure, FromRewrite
		r.Reply.Explain(wire.Other, edeRewriteAnswer)
	}
	return false
}

// rcode is code as the client can be told: an extended one needs an OPT (RFC 6891 section 6.1.3).
func (r *Request) rcode(code uint16) wire.Rcode {
	if code > 15 && !r.Query.EDNS {
		return wire.ServerFailure
	}
	return wire.Rcode(code)
}

// restoreRecords undoes the rules for names and TTLs in the records of the answer. The error is that a name would not be
// valid.
func (w *wrapped) restoreRecords(r *Request) (invalid error) {
	named, timed := w.has(RewriteName), w.has(RewriteTTL)
	if !named && !timed {
		return nil
	}
	r.rework(w, func(record *wire.Written) {
		if named {
			change := func(value bool) func([]byte) []byte {
				return func(name []byte) []byte {
					changed, err := restore(w.undo, name, value)
					invalid = cmp.Or(invalid, err)
					return changed
				}
			}
			record.Owner = change(false)(record.Owner)
			record.SetTarget(change(true))
		}
		for _, u := range slices.Backward(w.undo) {
			if u.rule.Field == RewriteTTL {
				record.TTL = min(max(record.TTL, u.rule.LeastTTL), u.rule.MostTTL)
			}
		}
	})
	if named {
		r.Reply.ClearFlags(wire.FlagAD) // what is signed has another name (RFC 4035 section 3.2.3)
	}
	return invalid
}

// has reports whether a rule for a field has something to do with the answer.
func (w *wrapped) has(field RewriteField) bool {
	return slices.ContainsFunc(w.undo, func(u undo) bool { return u.rule.Field == field })
}

// restore is a name of the answer, in wire form, as the client sees it. value says that the name is in the data of a
// record. The error is that the result is not a valid name.
func restore(done []undo, name []byte, value bool) ([]byte, error) {
	text := string(wire.AppendName(nil, name))
	changed := text
	for _, u := range slices.Backward(done) {
		if u.rule.Field == RewriteName {
			changed = u.revert(changed, value)
		}
	}
	if changed == text {
		return name, nil
	}
	restored, err := wire.ParseName(changed)
	if err != nil {
		return name, err
	}
	return restored, nil
}

// revert undoes one rule in a name: first by its answer rules, then, with `answer auto`, by undoing what it did to the
// question's name.
func (u *undo) revert(name string, value bool) string {
	for i, pattern := range slices.Backward(u.rule.answers) {
		answer := &u.rule.Answers[i]
		if answer.Value != value {
			continue
		}
		if groups := pattern.groups([]byte(name)); groups != nil {
			name = fill(answer.To, groups)
		}
	}
	if !u.rule.Auto {
		return name
	}
	if u.rule.Match == MatchSuffix {
		if before, ok := strings.CutSuffix(name, u.rule.To); ok {
			return before + u.rule.From
		}
		return name
	}
	if name == u.to {
		return u.from
	}
	if before, ok := strings.CutSuffix(name, "."+u.to); ok {
		return before + "." + u.from
	}
	return name
}

// link is one CNAME record of an answer.
type link struct {
	owner, target []byte // in wire form
	ttl           uint32
}

// retarget changes the target of the first alias in the answer that a rule of cname matches, and has the new target
// asked for, in the server block that has it. Of the answer so far the aliases up to that one stay.
func (rw *rewrites) retarget(r *Request, w *wrapped) (again bool) {
	if !w.has(RewriteCNAME) {
		return false
	}
	var chain []link
	var target []byte
	r.Reply.Each(w.mark, w.placed, func(record *wire.Written) bool {
		if record.Section != wire.Answer || record.Type != wire.TypeCNAME {
			return true
		}
		chain = append(chain, link{slices.Clone(record.Owner), slices.Clone(record.Data), record.TTL})
		target = w.newTarget(record.Data)
		return target == nil
	})
	if target == nil {
		return false
	}
	w.again, w.authoritative = true, r.Reply.Flags()&wire.FlagAA != 0
	return rw.ask(r, w, chain, target)
}

// ask makes target the next question. It stands behind chain, whose last target it replaces, and chain in the place of
// the answer so far.
func (rw *rewrites) ask(r *Request, w *wrapped, chain []link, target []byte) (again bool) {
	r.Reply.Rewind(w.mark)
	w.placed = 0
	if w.authoritative {
		r.Reply.SetFlags(wire.FlagAA)
	}
	r.Reply.Begin(wire.Answer)
	chain[len(chain)-1].target = target
	var at wire.Offset
	for _, a := range chain {
		var fits bool
		if at, fits = r.Reply.AddAlias(a.owner, a.ttl, a.target); !fits {
			return false
		}
	}
	if w.asked.qtype == wire.TypeCNAME || w.asked.qtype == wire.TypeANY {
		return false // they ask for the alias itself (RFC 1034 section 3.6.2)
	}
	if r.links == maxLinks || r.visitedAlready(string(target)) {
		r.Reply.Rcode, r.Source = wire.ServerFailure, FromRewrite
		r.Reply.Explain(wire.Other, edeAliases)
		return false
	}
	r.visited[r.links] = hop{target: string(target)}
	r.links++
	r.name.Set(target)
	r.question = w.asked
	q := &r.question
	q.name, q.owner, q.asked, q.options, q.next = &r.name, at, false, "", 0
	q.scope = rw.scopes.of(q.name)
	return true
}

// newTarget is the target that the rules of cname put in the place of one, in wire form; nil if none matches, or if the
// result is no name.
func (w *wrapped) newTarget(target []byte) []byte {
	text, changed := wire.AppendName(nil, target), false
	for _, u := range slices.Backward(w.undo) {
		if u.rule.Field != RewriteCNAME {
			continue
		}
		if to, ok := u.rule.replace(text); ok {
			text, changed = []byte(to), true
		}
	}
	if !changed {
		return nil
	}
	name, err := wire.ParseName(string(text))
	if err != nil {
		return nil
	}
	return name
}
