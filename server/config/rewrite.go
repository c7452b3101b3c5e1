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

// rewrite [continue|stop] FIELD …
//
//	name [exact|prefix|suffix|substring|regex] FROM TO [metadata] [answer …]…
//	type OLD NEW, class OLD NEW
//	ttl [MATCH] NAME SECONDS|LEAST-MOST
//	rcode [MATCH] NAME OLD NEW
//	cname [MATCH] FROM TO
//	edns0 …
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
	if read := a.rewriteField(); read != nil {
		read(a, &r)
	}
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

// rewriteFields are the readers of what stands behind the word that says what is rewritten.
func rewriteFields() map[string]func(*args, *resolver.Rewrite) {
	return map[string]func(*args, *resolver.Rewrite){
		"name": (*args).rewriteName, "type": (*args).rewriteType, "class": (*args).rewriteClass,
		"ttl": (*args).rewriteTTL, "rcode": (*args).rewriteRcode, "cname": (*args).rewriteCNAME,
		"edns0": (*args).rewriteEDNS,
	}
}

// rewriteField reads the word that says what is rewritten, and returns the reader of the rest; nil after a mistake.
func (a *args) rewriteField() func(*args, *resolver.Rewrite) {
	const want = "a rule such as name FROM TO"
	known := slices.Sorted(maps.Keys(rewriteFields()))
	if a.used == 0 {
		known = append(known, "continue", "stop")
	}
	w := a.word(want)
	read := rewriteFields()[strings.ToLower(w)]
	switch {
	case read != nil:
	case strings.EqualFold(w, "answer"):
		a.fail("answer belongs behind name FROM TO, in the same rule")
	default:
		a.fail("got %q, wants %s%s", w, want, DidYouMean(w, known))
	}
	return read
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

// rewriteMatch reads how names are compared with what follows.
func (a *args) rewriteMatch(follows string) resolver.RewriteMatch {
	kinds := slices.Sorted(maps.Keys(rewriteMatches()))
	w := a.word("")
	match, known := rewriteMatches()[strings.ToLower(w)]
	if !known {
		a.fail("got %q, wants %s before %s%s", w, sentence(kinds), follows, DidYouMean(w, kinds))
	}
	return match
}

// rewriteName reads [MATCH] FROM TO and what is done to the answer. The match may be left out only before FROM TO alone.
func (a *args) rewriteName(r *resolver.Rewrite) {
	if len(a.words)-a.used > 2 {
		r.Match = a.rewriteMatch("FROM TO")
	} else if _, kind := rewriteMatches()[strings.ToLower(a.peek())]; kind {
		a.warnf("%s is read as a name, since FROM TO do not follow it", a.peek())
	}
	switch after := a.used + 2; {
	case r.Match == resolver.MatchRegexp && len(a.words) > after && a.words[after] == "metadata":
		re := a.rewritePattern()
		to := a.word(wantTo)
		a.checkReplacement(re, to)
		a.word("")
		r.From, r.To, r.Metadata = patternText(re), dns.Fqdn(to), true
	case r.Match == resolver.MatchRegexp:
		re := a.rewritePattern()
		r.From, r.To = patternText(re), a.replacement(re)
		if label := labelInBraces.FindString(r.To); label != "" {
			a.warnf("%s is part of the name: labels have values behind the word metadata alone, as in TO metadata", label)
		}
	default:
		r.From = dns.CanonicalName(a.word("FROM TO, such as a.example b.example"))
		r.To = dns.CanonicalName(a.word(wantTo))
		if group := placeholder.FindString(r.To); group != "" {
			a.warnf("%s is part of the name: only regex has groups", group)
		} else if !isDomainName(r.To) && r.Match == resolver.MatchExact {
			a.warnf("%q is not a domain name: each query that the rule matches fails", r.To)
		}
	}
	if !r.Metadata && a.peek() == "metadata" {
		a.fail("metadata is for regex alone: name regex PATTERN TO metadata")
	}
	if a.more() {
		a.rewriteAnswers(r)
	}
	r.Auto = r.Auto || r.Match == resolver.MatchExact
}

// checkReplacement fails when the pattern has no such groups, or what is in braces is no label.
func (a *args) checkReplacement(re *regexp.Regexp, to string) {
	if a.err != nil {
		return
	}
	if err := resolver.CheckReplacement(to, re.NumSubexp()); err != nil {
		a.fail("%v", err)
	}
}

// rewritePattern reads a pattern for whole names.
func (a *args) rewritePattern() *regexp.Regexp {
	re := a.pattern()
	if endsBeforeDot.MatchString(patternText(re)) {
		a.warnf("%q never matches: a name ends in a dot, so the pattern ends in \\.$", patternText(re))
	}
	return re
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
