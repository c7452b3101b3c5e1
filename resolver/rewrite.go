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
	rules   []rewriteRule
	filters []questionFilter // of the rules: one after the other in memory, since most questions see nothing else
	port    uint16           // that this server listens on
	scopes  *scopes          // of the listening address, for the targets of rewritten aliases
}

// questionFilter is what a question needs for a rule to match.
type questionFilter struct {
	nameFilter
	qtype wire.Type  // 0 for all
	class wire.Class // 0 for all
}

// rewriteRule is one compiled rule.
type rewriteRule struct {
	Rewrite
	pattern *pattern // compiled From; nil unless Match is MatchRegexp
	answers []*pattern
	parts   []replacementPart // of To, with Metadata
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
		b.rewrites.filters = append(b.rewrites.filters, rule.needs())
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
	if o.Metadata {
		if rule.parts, err = parseReplacement(o.To, rule.pattern.NumSubexp()); err != nil {
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
	return rule, nil
}

// needs is what the questions have in common that the rule matches.
func (rule *rewriteRule) needs() (f questionFilter) {
	switch rule.Field {
	case RewriteType:
		f.qtype = wire.Type(rule.Old)
	case RewriteClass:
		f.class = wire.Class(rule.Old)
	case RewriteName, RewriteTTL, RewriteRcode:
		f.nameFilter = rule.needsName()
	}
	return f
}

// needsName is what their names have in common.
func (rule *rewriteRule) needsName() nameFilter {
	switch rule.Match {
	case MatchExact:
		return filterExact(rule.From)
	case MatchSuffix:
		return filterText("", rule.From)
	case MatchRegexp:
		return rule.pattern.filter
	}
	return filterText(rule.From, "")
}

// change applies the rules to q. The first that matches is the last, unless it says that later ones see the changed
// question.
func (rw *rewrites) change(r *Request, q *question) result {
	name := q.name.Name()
	rule := rw.next(q, name, 0)
	if rule < 0 {
		return result{}
	}
	r.text = wire.AppendName(r.text[:0], name)
	var done []undo
	var to []byte // the new name, in wire form
	var err error
	for ; rule >= 0; rule = rw.next(q, name, rule+1) {
		u, applied := rw.rules[rule].apply(rw, r, q)
		if !applied {
			continue
		}
		if u.to != "" {
			if to, err = wire.ParseName(u.to); err != nil {
				q.scope.block.logFailure(q, wire.ServerFailure, "invalid name after rewrite: "+u.to)
				return failure(FromRewrite, wire.ServerFailure, wire.Other, edeRewriteQuestion)
			}
			r.text, name = append(r.text[:0], u.to...), to
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

// next is the index of the first rule from one on that may match q, whose name is name by then; -1 if there is none.
func (rw *rewrites) next(q *question, name []byte, from int) int {
	traits := traitsOf(name)
	for i := from; i < len(rw.filters); i++ {
		f := &rw.filters[i]
		if (f.qtype == 0 || f.qtype == q.qtype) && (f.class == 0 || f.class == q.class) && f.passes(name, traits) {
			return i
		}
	}
	return -1
}

// apply applies the rule to q, whose name is r.text, and reports whether it matched. It returns what the rule has to do
// with the answer, if anything.
func (rule *rewriteRule) apply(rw *rewrites, r *Request, q *question) (u undo, applied bool) {
	switch rule.Field {
	case RewriteType:
		if uint16(q.qtype) != rule.Old { // 0, the reserved type, has passed as all types
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
	to, ok := "", false
	if rule.Metadata {
		to, ok = rule.expand(r)
	} else {
		to, ok = rule.replace(r.text)
	}
	if !ok {
		return undo{}, false
	}
	return undo{rule, string(r.text), to}, true
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
	if groups := rule.pattern.groups(text); groups != nil {
		return fill(rule.To, groups), true
	}
	return "", false
}

// fill is text with {0}, {1} and so on replaced by the groups of a match.
func fill(text string, groups [][]byte) string {
	for i, group := range groups {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", string(group))
	}
	return text
}
