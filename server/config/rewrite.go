package config

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// rewrite [continue|stop] name [exact|prefix|suffix|substring|regex] FROM TO [answer …]…
//
// Without more than one word on its line the rule goes on in the block, whose lines are read as one.
//
// What the resolver does to a reply is CoreDNS's: the rules that matched are undone last first, and so are the Answers
// of each, before its Auto. So with `name exact a b answer name b c` an owner b is c, and Auto finds no b to put back.
func (b *blockReader) rewrite(a *args) {
	if len(a.words) < 2 {
		a.joinLines()
	}
	var r resolver.Rewrite
	r.Continue = a.rewriteMode()
	a.rewriteField()
	a.rewriteName(&r)
	if a.peek() == "metadata" {
		a.fail("metadata is not supported yet")
	}
	if a.more() {
		a.rewriteAnswers(&r)
	}
	r.Auto = r.Auto || r.Match == resolver.MatchExact
	a.finish()
	b.Steps.Rewrites = append(b.Steps.Rewrites, r)
}

// joinLines puts the words of the block's lines behind those of the directive.
func (a *args) joinLines() {
	for range a.words {
		a.places = append(a.places, a.at)
	}
	for _, s := range a.lines {
		if len(s.lines) > 0 {
			a.at = s.at
			a.fail("takes no block within its block")
		}
		for _, w := range append([]string{s.name}, s.words...) {
			a.words = append(a.words, w)
			a.places = append(a.places, s.at)
		}
	}
	a.lines = nil
}

// rewriteMode reports whether the rules that follow see the new name.
func (a *args) rewriteMode() bool {
	switch strings.ToLower(a.peek()) {
	case "continue":
		a.word("")
		return true
	case "stop":
		a.word("")
	}
	return false
}

// rewriteField is the word that says what is rewritten: only names so far.
func (a *args) rewriteField() {
	const want = "a rule such as name FROM TO"
	known := []string{"name"}
	if a.used == 0 {
		known = append(known, "continue", "stop")
	}
	w := a.word(want)
	switch strings.ToLower(w) {
	case "name":
	case "answer":
		a.fail("answer belongs behind name FROM TO, in the same rule")
	case "type", "class", "ttl", "rcode", "cname", "edns0":
		a.fail("rule %q is not supported yet, only name", w)
	default:
		a.fail("got %q, wants %s%s", w, want, DidYouMean(w, known))
	}
}

// endsBeforeDot finds patterns that want a letter or digit at the end of a name.
var endsBeforeDot = regexp.MustCompile(`[A-Za-z0-9]\$$`)

// wantTo is what is missing behind FROM or a PATTERN.
const wantTo = "TO, the name in its place"

func rewriteMatches() map[string]resolver.RewriteMatch {
	return map[string]resolver.RewriteMatch{
		"exact": resolver.MatchExact, "prefix": resolver.MatchPrefix, "suffix": resolver.MatchSuffix,
		"substring": resolver.MatchSubstring, "regex": resolver.MatchRegexp,
	}
}

func (a *args) rewriteMatch() resolver.RewriteMatch {
	kinds := slices.Sorted(maps.Keys(rewriteMatches()))
	w := a.word("")
	match, known := rewriteMatches()[strings.ToLower(w)]
	if !known {
		a.fail("got %q, wants %s before FROM TO%s", w, sentence(kinds), DidYouMean(w, kinds))
	}
	return match
}

// rewriteName reads [MATCH] FROM TO. The match may be left out only before FROM TO alone.
func (a *args) rewriteName(r *resolver.Rewrite) {
	if len(a.words)-a.used > 2 {
		r.Match = a.rewriteMatch()
	} else if _, kind := rewriteMatches()[strings.ToLower(a.peek())]; kind {
		a.warnf("%s is read as a name, since FROM TO do not follow it", a.peek())
	}
	if r.Match == resolver.MatchRegexp {
		re := a.pattern()
		r.From, r.To = patternText(re), a.replacement(re)
		if endsBeforeDot.MatchString(r.From) {
			a.warnf("%q never matches: a name ends in a dot, so the pattern ends in \\.$", r.From)
		}
		return
	}
	r.From = dns.CanonicalName(a.word("FROM TO, such as a.example b.example"))
	r.To = dns.CanonicalName(a.word(wantTo))
	if group := placeholder.FindString(r.To); group != "" {
		a.warnf("%s is part of the name: only regex has groups", group)
	} else if !isDomainName(r.To) && r.Match == resolver.MatchExact {
		a.warnf("%q is not a domain name: each query that the rule matches fails", r.To)
	}
}

// rewriteAnswers reads answer auto, answer name PATTERN TO and answer value PATTERN TO. After the first, the word
// answer may be left out.
func (a *args) rewriteAnswers(r *resolver.Rewrite) {
	if w := a.peek(); w != "answer" {
		a.fail("unexpected %q, wants answer%s", a.word(""), DidYouMean(w, []string{"answer"}))
	}
	owners := false
	for a.more() {
		if a.peek() == "answer" {
			a.word("")
		}
		switch w := a.word("auto, name or value"); w {
		case "auto":
			r.Auto = true
		case "name":
			owners = true
			r.Answers = append(r.Answers, a.rewriteAnswer(false))
		case "value":
			r.Answers = append(r.Answers, a.rewriteAnswer(true))
		default:
			a.fail("answer: got %q, wants auto, name or value%s", w, DidYouMean(w, []string{"auto", "name", "value"}))
		}
	}
	if r.Auto && owners {
		a.fail("answer auto and answer name exclude each other: give one of them")
	}
}

func (a *args) rewriteAnswer(value bool) resolver.RewriteAnswer {
	re := a.pattern()
	return resolver.RewriteAnswer{Value: value, From: patternText(re), To: a.replacement(re)}
}

// patternText is "" for a pattern that was refused.
func patternText(re *regexp.Regexp) string {
	if re == nil {
		return ""
	}
	return re.String()
}

// placeholder is a group of a pattern in what replaces it.
var placeholder = regexp.MustCompile(`\{(0|[1-9][0-9]*)\}`)

// replacement is a name with placeholders for groups of the pattern; {0} is all that it found.
func (a *args) replacement(re *regexp.Regexp) string {
	to := a.word(wantTo)
	for _, found := range placeholder.FindAllStringSubmatch(to, -1) {
		if n, err := strconv.Atoi(found[1]); a.err == nil && (err != nil || n > re.NumSubexp()) {
			a.fail("%s has no group in the pattern %#q, which has %d", found[0], re, re.NumSubexp())
		}
	}
	return dns.CanonicalName(to)
}

func usesRewrite(b *Block) bool { return len(b.Steps.Rewrites) > 0 }

func summarizeRewrites(b *Block, s *summary) {
	for i := range b.Steps.Rewrites {
		r := &b.Steps.Rewrites[i]
		kind := [...]string{"exact", "prefix", "suffix", "substring", "regex"}[r.Match]
		l := s.step("rewrite name %s %#q to %#q", kind, r.From, r.To)
		l.add(r.Auto, "answer auto")
		for _, answer := range r.Answers {
			l.add(!answer.Value, "answer name %#q to %#q", answer.From, answer.To)
			l.add(answer.Value, "answer value %#q to %#q", answer.From, answer.To)
		}
		l.add(r.Continue, "continue")
	}
}
