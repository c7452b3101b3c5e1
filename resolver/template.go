package resolver

import (
	"bytes"
	"fmt"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// templates are the directives template of one server block, in the order of the file. The first that is for the
// question's zone, type and class decides: it answers, or, if no pattern of it matches the name, it fails or falls
// through to the next.
type templates struct {
	list   []*templateRule
	others bool // one of them is for other classes than IN
}

// templateRule is one directive.
type templateRule struct {
	options      Template
	zones        zones.Set
	fallthroughs zones.Set
	patterns     []*pattern // empty: every name matches
	conditions   conditions
	zone         []templateZone // by index in zones
}

// templateZone is what a directive answers for names of one of its zones.
type templateZone struct {
	name    string                           // with its final dot
	records [wire.Additional + 1][]recordFor // by section
	counts  *templateCounts
}

// templateScope is a directive for the names of a scope.
type templateScope struct {
	rule    *templateRule
	zone    *templateZone
	through bool // names that no pattern matches go on
}

// newTemplates compiles the directives template of a block.
func newTemplates(all []Template) (*templates, error) {
	t := &templates{}
	for i := range all {
		rule, err := newTemplateRule(all[i])
		if err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		t.list = append(t.list, rule)
		t.others = t.others || all[i].Class != uint16(wire.ClassIN)
	}
	return t, nil
}

func newTemplateRule(o Template) (*templateRule, error) {
	t := &templateRule{options: o}
	var err error
	if t.zones, err = zones.NewSet(o.Zones); err != nil {
		return nil, err
	}
	if t.fallthroughs, err = zones.NewSet(o.Fallthrough.Zones); err != nil {
		return nil, fmt.Errorf("fallthrough: %w", err)
	}
	for _, text := range o.Match {
		pattern, err := newPattern(text)
		if err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
		t.patterns = append(t.patterns, pattern)
	}
	if t.conditions, err = newConditions(&t.options); err != nil {
		return nil, err
	}
	var texts [wire.Additional + 1][]*recordText
	for section, lines := range [...][]string{o.Answer, o.Authority, o.Additional} {
		for _, line := range lines {
			text, err := parseRecordText(sectionNames[section], line)
			if err != nil {
				return nil, err
			}
			texts[section] = append(texts[section], text)
		}
	}
	for _, name := range o.Zones {
		z := templateZone{name: name, counts: new(templateCounts)}
		for section := range texts {
			for _, text := range texts[section] {
				z.records[section] = append(z.records[section], text.prepare(&o, section, name))
			}
		}
		t.zone = append(t.zone, z)
	}
	return t, nil
}

// scope is the directives that are for names of zone.
func (t *templates) scope(zone *wire.QName) (all []templateScope) {
	for _, rule := range t.list {
		if i, _, ok := rule.zones.Match(zone); ok {
			all = append(all, templateScope{rule, &rule.zone[i], rule.fallthroughs.Contains(zone)})
		}
	}
	return all
}

// takes reports whether the directive is for the question's type and class. A question for any type gets the type of
// the first directive (RFC 8482 section 4.1).
func (t *templateRule) takes(q *question) bool {
	kind, class := wire.Type(t.options.Type), wire.Class(t.options.Class)
	return (kind == q.qtype || kind == wire.TypeANY || q.qtype == wire.TypeANY) &&
		(class == q.class || class == wire.ClassANY || q.class == wire.ClassANY)
}

// may reports whether one of the patterns can match a name in wire form.
func (t *templateRule) may(name []byte, traits nameTraits) bool {
	for _, pattern := range t.patterns {
		if pattern.filter.passes(name, traits) {
			return true
		}
	}
	return len(t.patterns) == 0
}

// match is the first pattern that matches the text of a name; nil is the one of a directive without patterns.
func (t *templateRule) match(text []byte) (pattern *pattern, ok bool) {
	for _, pattern := range t.patterns {
		if pattern.matches(text) {
			return pattern, true
		}
	}
	return nil, len(t.patterns) == 0
}

// answer answers with the first directive that is for the question.
func (t *templates) answer(r *Request, q *question) result {
	name := q.name.Name()
	traits, named := traitsOf(name), false // named: r.text is the question's name
	for i := range q.scope.templates {
		s := &q.scope.templates[i]
		if !s.rule.takes(q) {
			continue
		}
		if s.rule.may(name, traits) {
			if !named {
				r.text, named = wire.AppendName(r.text[:0], name), true
			}
			if pattern, ok := s.rule.match(r.text); ok {
				data, yes, err := r.conditionsHold(q, s, pattern)
				switch {
				case err != nil:
					return failure(FromTemplate, wire.ServerFailure, wire.Other, edeTemplateValue)
				case yes:
					return r.fromTemplate(q, s, pattern, data)
				}
			}
		}
		if !s.through {
			return failure(FromTemplate, wire.ServerFailure, wire.Other, edeTemplateNoMatch)
		}
	}
	return result{}
}

// conditionsHold reports whether what the directive wants besides is true of q, whose name is r.text. data has its
// variables; nil if there are no expressions.
func (r *Request) conditionsHold(q *question, s *templateScope, p *pattern) (data *templateData, yes bool, err error) {
	c := &s.rule.conditions
	if c.none() {
		return nil, true, nil
	}
	data = newTemplateData(r, q, s, p)
	yes, failed, err := c.hold(r, r.noted.by, data)
	if err != nil {
		err = fmt.Errorf("template: %s: %w", failed, firstLine(err))
		s.zone.counts.failed(s.rule, q, "expression", failed, textFailed)
		q.scope.block.logFailure(q, wire.ServerFailure, err.Error())
	}
	return data, yes, err
}

// fromTemplate answers q, whose name is r.text and which pattern matches. data is nil until a text needs it.
func (r *Request) fromTemplate(q *question, s *templateScope, pattern *pattern, data *templateData) result {
	o := &s.rule.options
	s.zone.counts.matched(s.rule, q)
	res := result{outcome: answered, source: FromTemplate, authoritative: true, rcode: wire.Rcode(o.Rcode)}
	switch {
	case res.rcode == wire.ServerFailure: // whatever the lines say, as in CoreDNS
		res = failure(FromTemplate, wire.ServerFailure, wire.Other, edeTemplateFailure)
	case res.rcode == wire.NameError:
		res.outcome = nxdomain
	case res.rcode != wire.NoError:
		res.outcome = failed
	case len(o.Answer) == 0:
		res.outcome = nodata
	}
	if e := o.Error; e != nil {
		res.words = ""
		r.Reply.Explain(wire.InfoCode(e.Code), e.Text)
	} else if len(o.Answer) == 0 && res.words == "" {
		res.info, res.words = wire.Other, edeTemplateEmpty
	}
	if res.rcode == wire.ServerFailure {
		return res
	}
	mark := r.Reply.Mark()
	w := templateWriter{request: r, question: q, scope: s, pattern: pattern, data: data}
	w.write(wire.Answer)
	switch {
	case w.circle:
		return r.brokenChain(FromTemplate)
	case w.target != "" && w.err == nil:
		return w.follow()
	}
	w.write(wire.Authority)
	w.write(wire.Additional)
	if w.err != nil {
		r.Reply.Rewind(mark)
		return failure(FromTemplate, wire.ServerFailure, wire.Other, edeTemplateRecord)
	}
	return res
}

// templateWriter writes the records of a directive for one question.
type templateWriter struct {
	request  *Request
	question *question
	scope    *templateScope
	pattern  *pattern
	data     *templateData // nil until a text needs it
	err      error         // the first failure

	target string      // of a CNAME that ends the answer and has to be followed, in wire form and lower case
	at     wire.Offset // of target
	circle bool        // there were too many aliases
}

// write adds the records of a section. The name is the question's.
func (w *templateWriter) write(section int) {
	reply, records := &w.request.Reply, w.scope.zone.records[section]
	for i := range records {
		if w.err != nil {
			return
		}
		record, ok := w.record(&records[i])
		if !ok {
			return
		}
		w.circle = section == wire.Answer && w.request.links == maxLinks && w.leadsOn(&record)
		if w.circle {
			return
		}
		reply.Begin(section)
		before := reply.Len()
		owner := wire.Offset(0)
		if bytes.Equal(record.Owner, w.question.name.Name()) {
			owner = w.question.owner // which has the letter case of the query
		}
		if !reply.AddAt(owner, &record) {
			return
		}
		if section == wire.Answer {
			w.alias(&record, before)
		}
	}
}

// record is the record of a text. It counts failures.
func (w *templateWriter) record(f *recordFor) (record wire.Written, ok bool) {
	if f.prepared {
		record = f.record
		if f.named {
			record.Owner = w.question.name.Name()
		}
		return record, true
	}
	if w.data == nil {
		w.data = newTemplateData(w.request, w.question, w.scope, w.pattern)
	}
	record, why, err := f.text.record(w.data)
	if err != nil {
		w.err = err
		w.scope.zone.counts.failed(w.scope.rule, w.question, sectionNames[f.section], f.text.text, why)
		w.question.scope.block.logFailure(w.question, wire.ServerFailure, err.Error())
	}
	return record, err == nil
}

// alias remembers the target of a CNAME record that was written at an offset and that leads on (RFC 1034 section
// 3.6.2), until another record is written.
func (w *templateWriter) alias(record *wire.Written, before int) {
	w.target = ""
	if !w.leadsOn(record) {
		return
	}
	var name [wire.MaxName + 1]byte
	if size, _, ok := wire.UnpackName(&name, record.Data, 0); ok {
		owner, _ := wire.SkipName(w.request.Reply.Bytes(), before)
		w.target, w.at = string(name[:size]), wire.Pointer(owner+10)
	}
}

// leadsOn reports whether record is an alias and not what was asked for.
func (w *templateWriter) leadsOn(record *wire.Written) bool {
	return record.Type == wire.TypeCNAME && w.question.qtype != wire.TypeCNAME && w.question.qtype != wire.TypeANY
}

// follow goes on with the target of the last answer. What the directive has for the other sections is added once the
// chain has ended, because sections are written in order.
func (w *templateWriter) follow() result {
	r := w.request
	if s := w.scope.zone; len(s.records[wire.Authority])+len(s.records[wire.Additional]) > 0 {
		wrapped := r.wrap(w.scope, w.question)
		wrapped.pattern = w.pattern
		if w.data != nil {
			wrapped.vars = w.data.Var
		}
	}
	return r.chase(w.question, FromTemplate, w.target, w.at)
}

// after adds the authority and additional sections of a directive whose answer is an alias.
func (s *templateScope) after(r *Request, w *wrapped, _ result) (again bool) {
	if r.Reply.Rcode == wire.ServerFailure {
		return false
	}
	var name wire.QName
	r.Reply.ReadName(w.asked.owner, &name)
	q := w.asked
	q.name = &name
	r.text = wire.AppendName(r.text[:0], name.Name())
	writer := templateWriter{request: r, question: &q, scope: s, pattern: w.pattern}
	if w.vars != nil {
		writer.data = newTemplateData(r, &q, s, w.pattern)
		writer.data.Var = w.vars
	}
	if r.Reply.Count(wire.Additional) == 0 { // sections are written in order
		writer.write(wire.Authority)
	}
	writer.write(wire.Additional)
	return false
}
