package config

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// template CLASS TYPE [ZONES…] { match PATTERNS…; var NAME EXPRESSION; expr EXPRESSION; answer TEXTS…; authority TEXTS…; additional TEXTS…; rcode RCODE;
// ederror CODE [TEXT]; fallthrough [ZONES…]; upstream }
func (b *blockReader) template(a *args) {
	t := resolver.Template{
		Class: capitals(a, "a class such as IN or ANY", dns.StringToClass),
		Type:  capitals(a, "a type of records such as A or ANY", dns.StringToType),
	}
	t.Zones = a.zonesOr(b.zones...)
	a.options(options{
		"match":       func(o *args) { t.Match = append(t.Match, o.namePatterns()...) },
		"var":         func(o *args) { o.templateVar(&t) },
		"expr":        func(o *args) { o.templateCondition(&t) },
		"answer":      func(o *args) { t.Answer = append(t.Answer, o.recordTexts()...) },
		"authority":   func(o *args) { t.Authority = append(t.Authority, o.recordTexts()...) },
		"additional":  func(o *args) { t.Additional = append(t.Additional, o.recordTexts()...) },
		"rcode":       func(o *args) { t.Rcode = uint16(capitals(o, "an rcode such as NXDOMAIN", dns.StringToRcode)) },
		"ederror":     func(o *args) { t.Error = o.extendedError() },
		"fallthrough": func(o *args) { t.Fallthrough.Zones = o.zonesOr(".") },
		"upstream":    outdated, // aliases are followed without it
	})
	if a.err == nil && t.Rcode == dns.RcodeServerFailure && len(t.Answer)+len(t.Authority)+len(t.Additional) > 0 {
		a.warnf("the answer has no records with rcode SERVFAIL, and what the lines say is not used")
	}
	if t.Type == dns.TypeAAAA && t.Rcode == dns.RcodeNameError {
		b.withoutAAAA = append(b.withoutAAAA, deniedAAAA{a, t})
	}
	b.Steps.Templates = append(b.Steps.Templates, t)
}

// deniedAAAA is a template that answers AAAA with NXDOMAIN.
type deniedAAAA struct {
	at       *args
	template resolver.Template
}

// checkDeniedAAAA warns of a template that means "no IPv6" and says that the names do not exist, unless another one says
// it of the same names for A.
func (b *blockReader) checkDeniedAAAA() {
	for _, d := range b.withoutAAAA {
		if !slices.ContainsFunc(b.Steps.Templates, func(t resolver.Template) bool {
			return (t.Type == dns.TypeA || t.Type == dns.TypeANY) && t.Rcode == dns.RcodeNameError &&
				slices.Equal(t.Zones, d.template.Zones) && slices.Equal(t.Match, d.template.Match)
		}) {
			d.at.warnf("NXDOMAIN says that a name has no records of any type: clients with musl (Alpine) then drop its A records. " +
				"For names without AAAA records write rcode NOERROR")
		}
	}
}

// capitals reads a mnemonic, which is in capital letters, as in CoreDNS.
func capitals[T any](a *args, want string, table map[string]T) T {
	w := a.word(want)
	value, known := table[w]
	if !known {
		names := slices.Collect(maps.Keys(table))
		a.fail("got %q, wants %s%s", w, want, DidYouMean(strings.ToUpper(w), names))
	}
	return value
}

// templateVar reads NAME EXPRESSION.
func (a *args) templateVar(t *resolver.Template) {
	v := resolver.TemplateVar{Name: a.word("NAME EXPRESSION")}
	v.Expression = strings.Join(a.atLeastOne("an expression such as group('name')"), " ")
	if a.err != nil {
		return
	}
	if _, err := resolver.CheckTemplateExpressions(&resolver.Template{Vars: append(t.Vars, v)}); err != nil {
		a.fail("%v", err)
		return
	}
	t.Vars = append(t.Vars, v)
}

// templateCondition reads EXPRESSION, which may refer to the variables before it.
func (a *args) templateCondition(t *resolver.Template) {
	source := strings.Join(a.atLeastOne("an expression such as incidr(client_ip(), '10.0.0.0/8')"), " ")
	if a.err != nil {
		return
	}
	mayBeTrue, err := resolver.CheckTemplateExpressions(&resolver.Template{Vars: t.Vars, Conditions: []string{source}})
	if err != nil {
		a.fail("%v", err)
		return
	}
	if !mayBeTrue {
		a.warnf("%s is neither true nor false, and counts as false", source)
	}
	t.Conditions = append(t.Conditions, source)
}

// namePatterns reads patterns for whole names.
func (a *args) namePatterns() (all []string) {
	for ok := true; ok; ok = a.more() {
		re := a.pattern()
		if endsBeforeDot.MatchString(patternText(re)) {
			a.warnf("%q never matches: a name ends in a dot, so the pattern ends in \\.$", patternText(re))
		}
		all = append(all, patternText(re))
	}
	return all
}

// recordTexts reads texts of Go's package text/template, each of one record.
func (a *args) recordTexts() (all []string) {
	for ok := true; ok; ok = a.more() {
		w := a.word(`the text of a record in quotes, such as "{{ .Name }} 60 IN A 192.0.2.1"`)
		if len(w) > patternBytes {
			a.fail("a text of %d bytes, wants at most %d", len(w), patternBytes)
			return nil
		}
		if err := resolver.CheckTemplate(w); err != nil {
			a.fail("%q is no text of a record: %v%s", w, err, when(!strings.Contains(w, " "), " (is it in quotes?)"))
		}
		all = append(all, w)
	}
	return all
}

// extendedError reads CODE [TEXT].
func (a *args) extendedError() *resolver.TemplateError {
	e := &resolver.TemplateError{Code: uint16(a.number(0, math.MaxUint16))}
	if a.more() {
		e.Text = a.word("")
	}
	return e
}

func usesTemplate(b *Block) bool { return len(b.Steps.Templates) > 0 }

func summarizeTemplates(b *Block, s *summary) {
	for i := range b.Steps.Templates {
		t := &b.Steps.Templates[i]
		l := s.step("template %s %s for %s", dns.ClassToString[t.Class], dns.Type(t.Type), names(t.Zones))
		for _, pattern := range t.Match {
			l.add(true, "match %#q", pattern)
		}
		for _, v := range t.Vars {
			l.add(true, "var %s %s", v.Name, v.Expression)
		}
		for _, source := range t.Conditions {
			l.add(true, "expr %s", source)
		}
		for _, section := range []struct {
			name  string
			texts []string
		}{{"answer", t.Answer}, {"authority", t.Authority}, {"additional", t.Additional}} {
			for _, text := range section.texts {
				l.add(true, "%s %#q", section.name, text)
			}
		}
		l.add(t.Rcode != dns.RcodeSuccess || len(t.Answer) == 0, "%s", dns.RcodeToString[int(t.Rcode)])
		if e := t.Error; e != nil {
			l.add(true, "error %s", strings.TrimSpace(strconv.Itoa(int(e.Code))+" "+e.Text))
		}
		l.passes(t.Fallthrough)
	}
}
