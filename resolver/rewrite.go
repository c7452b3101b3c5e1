package resolver

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// rewrites are the rewrite rules of one server block, in the order of the file. They are a wrapper: the later steps are
// asked for another name, and the answer is rewritten for the name that the client asked for.
//
// Names are compared as text, in lower case and with their final dot, as in CoreDNS: a suffix need not start at a
// label.
type rewrites struct {
	rules []rewriteRule
}

// rewriteRule is one compiled rule.
type rewriteRule struct {
	Rewrite
	pattern *pattern // compiled From; nil unless Match is MatchRegexp
	answers []*pattern
}

// undo is what one rule did to the name of a question.
type undo struct {
	rule     *rewriteRule
	from, to string
}

// newRewrites compiles the rewrite rules of the block.
func (b *block) newRewrites() (err error) {
	if len(b.options.Rewrites) == 0 {
		return nil
	}
	rw := &rewrites{}
	for _, o := range b.options.Rewrites {
		rule := rewriteRule{Rewrite: o}
		if o.Match == MatchRegexp {
			if rule.pattern, err = newPattern(o.From); err != nil {
				return fmt.Errorf("rewrite: %w", err)
			}
		}
		for _, answer := range o.Answers {
			pattern, err := newPattern(answer.From)
			if err != nil {
				return fmt.Errorf("rewrite: answer: %w", err)
			}
			rule.answers = append(rule.answers, pattern)
		}
		rw.rules = append(rw.rules, rule)
	}
	b.rewrites = rw
	return nil
}

// change replaces the question's name if a rule matches. The first match is the last, unless its rule says that later
// rules see the new name.
func (rw *rewrites) change(r *Request, q *question) result {
	r.text = wire.AppendName(r.text[:0], q.name.Name())
	var done []undo
	var to []byte
	for i := range rw.rules {
		rule := &rw.rules[i]
		text, ok := rule.apply(r.text)
		if !ok {
			continue
		}
		var err error
		if to, err = wire.ParseName(text); err != nil {
			return failure(FromRewrite, wire.ServerFailure, wire.Other, edeRewriteQuestion)
		}
		done = append(done, undo{rule, string(r.text), text})
		r.text = append(r.text[:0], text...)
		if !rule.Continue {
			break
		}
	}
	if len(done) == 0 {
		return result{}
	}
	w := r.wrap(rw, q)
	w.undo, w.placed = done, len(to)
	r.name.SetString(string(to))
	q.name, q.owner, q.asked = &r.name, r.Reply.PlaceName(to), false
	q.scope = q.scope.block.inside.of(q.name)
	return result{}
}

// apply is name after the rule; ok is false if the rule does not match.
func (rule *rewriteRule) apply(name []byte) (to string, ok bool) {
	from := rule.From
	switch rule.Match {
	case MatchExact:
		return rule.To, string(name) == from
	case MatchPrefix:
		if len(name) < len(from) || string(name[:len(from)]) != from {
			return "", false
		}
		return rule.To + string(name[len(from):]), true
	case MatchSuffix:
		rest := len(name) - len(from)
		if rest < 0 || string(name[rest:]) != from {
			return "", false
		}
		return string(name[:rest]) + rule.To, true
	case MatchSubstring:
		if !bytes.Contains(name, []byte(from)) {
			return "", false
		}
		return strings.ReplaceAll(string(name), from, rule.To), true
	}
	groups := rule.pattern.groups(name)
	return fill(rule.To, groups), groups != nil
}

// fill is text with {0}, {1} and so on replaced by the groups of a match.
func fill(text string, groups [][]byte) string {
	for i, group := range groups {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", string(group))
	}
	return text
}

// after rewrites the answer for the name that the client asked for: it undoes the rules in reverse order, as far as
// they have an answer part. An answer with an invalid name becomes SERVFAIL.
func (rw *rewrites) after(r *Request, w *wrapped, _ result) (again bool) {
	var invalid error
	r.rework(w, func(record *wire.Written) {
		change := func(value bool) func([]byte) []byte {
			return func(name []byte) []byte {
				changed, err := restore(w.undo, name, value)
				invalid = cmp.Or(invalid, err)
				return changed
			}
		}
		record.Owner = change(false)(record.Owner)
		record.SetTarget(change(true))
	})
	r.Reply.ClearFlags(wire.FlagAD) // what is signed has another name (RFC 4035 section 3.2.3)
	if invalid != nil {
		r.Reply.Rewind(w.mark)
		r.Reply.Rcode, r.Source = wire.ServerFailure, FromRewrite
		r.Reply.Explain(wire.Other, edeRewriteAnswer)
	}
	return false
}

// restore is a name of the answer, in wire form, as the client sees it. value says that the name is in the data of a
// record. The error is that the result is not a valid name.
func restore(done []undo, name []byte, value bool) ([]byte, error) {
	text := string(wire.AppendName(nil, name))
	changed := text
	for _, u := range slices.Backward(done) {
		changed = u.revert(changed, value)
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
