package resolver

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// rewrites are the rules of the directive rewrite of one block, in the order of the file. They surround the steps that follow: these are asked
// for another name, and the answer is written once more for the name that the client asked for.
//
// Names are compared as text, in lower case and with their final dot, as CoreDNS compares them: a suffix need not begin with a label.
type rewrites struct {
	rules  []rewriteRule
	scopes scopes // of the block's own names: a rewritten question stays in the block
}

// rewriteRule is one compiled rule.
type rewriteRule struct {
	Rewrite
	pattern *regexp.Regexp // of From; nil for text
	answers []*regexp.Regexp
}

// undo is what one rule has done to the name of a question.
type undo struct {
	rule     *rewriteRule
	from, to string
}

func (b *block) newRewrites() (err error) {
	if len(b.options.Rewrites) == 0 {
		return nil
	}
	rw := &rewrites{}
	for _, o := range b.options.Rewrites {
		rule := rewriteRule{Rewrite: o}
		if o.Match == MatchRegexp {
			if rule.pattern, err = regexp.Compile(o.From); err != nil {
				return fmt.Errorf("rewrite: %w", err)
			}
		}
		for _, answer := range o.Answers {
			pattern, err := regexp.Compile(answer.From)
			if err != nil {
				return fmt.Errorf("rewrite: answer: %w", err)
			}
			rule.answers = append(rule.answers, pattern)
		}
		rw.rules = append(rw.rules, rule)
	}
	b.rewrites = rw
	rw.scopes, err = newScopes(append(b.names(), "."), func(zone *wire.QName) *scope { return b.scope(zone, blockZone{}) })
	return err
}

// change asks the next steps for another name, if a rule matches. The first one that does is the last, unless it says that later ones see the
// new name.
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
			return failure(None, wire.ServerFailure, wire.Other, edeRewriteQuestion)
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
	q.scope = rw.scopes.of(q.name)
	return result{}
}

// apply is name as the rule leaves it; ok is false when the rule does not match.
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
	groups := rule.pattern.FindSubmatch(name)
	return fill(rule.To, groups), groups != nil
}

// fill is text with the groups of a match in the place of {0}, {1} and so on.
func fill(text string, groups [][]byte) string {
	for i, group := range groups {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", string(group))
	}
	return text
}

// after writes the answer once more for the name that the client asked for: what the rules have done to names is undone in the reverse order, as
// far as they say so. An answer with a name that cannot be is none.
func (rw *rewrites) after(r *Request, w *wrapped, _ result) (again bool) {
	var invalid error
	r.message = r.Reply.Rework(w.mark, w.placed, r.message, func(record *wire.Written) {
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
	if invalid != nil {
		r.Reply.Rewind(w.mark)
		r.Reply.Rcode = wire.ServerFailure
		r.Reply.Explain(wire.Other, edeRewriteAnswer)
	}
	return false
}

// restore is a name of the answer, in wire form, as the client is to see it. value says that it stands in the data of a record. The error is that
// it is no name any more.
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

// revert undoes one rule: what it says of answers first, then, with `answer auto`, what it did to the name.
func (u *undo) revert(name string, value bool) string {
	for i, pattern := range slices.Backward(u.rule.answers) {
		answer := &u.rule.Answers[i]
		if answer.Value != value {
			continue
		}
		if groups := pattern.FindSubmatch([]byte(name)); groups != nil {
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
