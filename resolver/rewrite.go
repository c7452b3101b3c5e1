package resolver

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// rewrites are the rewrite rules of one server block, in the order of the file. They are a wrapper: the later steps are
// asked another question, and the answer is changed for the one that the client asked.
//
// Names are compared as text, in lower case and with their final dot, as in CoreDNS: a suffix need not start at a
// label.
type rewrites struct {
	rules  []rewriteRule
	port   uint16  // that this server listens on
	scopes *scopes // of the listening address, for the targets of rewritten aliases
}

// rewriteRule is one compiled rule.
type rewriteRule struct {
	Rewrite
	filter  nameFilter
	pattern *pattern // compiled From; nil unless Match is MatchRegexp
	answers []*pattern
}

// undo is a rule that has something to do with the answer. A rule for names has put name to in the place of from.
type undo struct {
	rule     *rewriteRule
	from, to string
}

// newRewrites compiles the rewrite rules of the block.
func (r *Resolver) newRewrites(b *block, server string) error {
	if len(b.options.Rewrites) == 0 {
		return nil
	}
	port, _ := strconv.ParseUint(server[strings.LastIndexByte(server, ':')+1:], 10, 16)
	b.rewrites = &rewrites{port: uint16(port), scopes: &r.scopes}
	for _, o := range b.options.Rewrites {
		rule, err := newRewriteRule(o)
		if err != nil {
			return fmt.Errorf("rewrite: %w", err)
		}
		b.rewrites.rules = append(b.rewrites.rules, rule)
	}
	return nil
}

func newRewriteRule(o Rewrite) (rule rewriteRule, err error) {
	rule.Rewrite = o
	if o.Match == MatchRegexp {
		if rule.pattern, err = newPattern(o.From); err != nil {
			return rule, err
		}
	}
	for _, answer := range o.Answers {
		pattern, err := newPattern(answer.From)
		if err != nil {
			return rule, fmt.Errorf("answer: %w", err)
		}
		rule.answers = append(rule.answers, pattern)
	}
	rule.filter = rule.needs()
	return rule, nil
}

// needs is what the names have in common that the rule matches.
func (rule *rewriteRule) needs() nameFilter {
	if !rule.byName() {
		return nameFilter{}
	}
	switch rule.Match {
	case MatchExact:
		return filterExact(rule.From)
	case MatchSuffix:
		return filterText("", rule.From)
	case MatchRegexp:
		return filterText(rule.pattern.contains, rule.pattern.suffix)
	}
	return filterText(rule.From, "")
}

// byName reports whether the question's name decides whether the rule matches.
func (rule *rewriteRule) byName() bool {
	return rule.Field == RewriteName || rule.Field == RewriteTTL || rule.Field == RewriteRcode
}

// change applies the rules to q. The first that matches is the last, unless it says that later ones see the changed
// question.
func (rw *rewrites) change(r *Request, q *question) result {
	rule := rw.next(q, 0)
	if rule < 0 {
		return result{}
	}
	r.text = wire.AppendName(r.text[:0], q.name.Name())
	var done []undo
	var to []byte // the new name, in wire form
	var err error
	for ; rule < len(rw.rules); rule++ {
		u, applied := rw.rules[rule].apply(rw, r, q)
		if !applied {
			continue
		}
		if u.to != "" {
			if to, err = wire.ParseName(u.to); err != nil {
				return failure(FromRewrite, wire.ServerFailure, wire.Other, edeRewriteQuestion)
			}
			r.text = append(r.text[:0], u.to...)
		}
		if u.rule != nil {
			done = append(done, u)
		}
		if !rw.rules[rule].Continue {
			break
		}
	}
	if len(done) > 0 {
		w := r.wrap(rw, q)
		w.undo, w.placed = done, len(to)
	}
	if to != nil {
		r.name.SetString(string(to))
		q.name, q.owner, q.asked = &r.name, r.Reply.PlaceName(to), false
		q.scope = q.scope.block.inside.of(q.name)
	}
	return result{}
}

// next is the index of the first rule from one on that may match q; -1 if there is none.
func (rw *rewrites) next(q *question, from int) int {
	name := q.name.Name()
	tail := tailOf(name)
	for i := from; i < len(rw.rules); i++ {
		rule := &rw.rules[i]
		switch rule.Field {
		case RewriteType:
			if rule.Old == uint16(q.qtype) {
				return i
			}
		case RewriteClass:
			if rule.Old == uint16(q.class) {
				return i
			}
		default:
			if rule.filter.passes(name, tail) {
				return i
			}
		}
	}
	return -1
}

// apply applies the rule to q, whose name is r.text, and reports whether it matched. It returns what the rule has to do
// with the answer, if anything.
func (rule *rewriteRule) apply(rw *rewrites, r *Request, q *question) (u undo, applied bool) {
	switch rule.Field {
	case RewriteType:
		if uint16(q.qtype) != rule.Old {
			return undo{}, false
		}
		q.qtype = wire.Type(rule.New)
		return undo{}, true
	case RewriteClass:
		if uint16(q.class) != rule.Old {
			return undo{}, false
		}
		q.class = wire.Class(rule.New)
		return undo{}, true
	case RewriteEDNS0:
		return undo{}, rule.EDNS.apply(rw, r, q)
	case RewriteCNAME:
		return undo{rule: rule}, true
	case RewriteTTL, RewriteRcode:
		if _, ok := rule.replace(r.text); !ok {
			return undo{}, false
		}
		return undo{rule: rule}, true
	}
	to, ok := rule.replace(r.text)
	return undo{rule, string(r.text), to}, ok
}

// replace is text after the rule; ok is false if the rule does not match.
func (rule *rewriteRule) replace(text []byte) (to string, ok bool) {
	from := rule.From
	switch rule.Match {
	case MatchExact:
		return rule.To, string(text) == from
	case MatchPrefix:
		if len(text) < len(from) || string(text[:len(from)]) != from {
			return "", false
		}
		return rule.To + string(text[len(from):]), true
	case MatchSuffix:
		rest := len(text) - len(from)
		if rest < 0 || string(text[rest:]) != from {
			return "", false
		}
		return string(text[:rest]) + rule.To, true
	case MatchSubstring:
		if !bytes.Contains(text, []byte(from)) {
			return "", false
		}
		return strings.ReplaceAll(string(text), from, rule.To), true
	}
	groups := rule.pattern.groups(text)
	return fill(rule.To, groups), groups != nil
}

// fill is text with {0}, {1} and so on replaced by the groups of a match.
func fill(text string, groups [][]byte) string {
	for i, group := range groups {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", string(group))
	}
	return text
}
