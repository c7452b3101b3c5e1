package resolver

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// templateData is what the text of a record may refer to. Names are CoreDNS's.
type templateData struct {
	Zone   string // of the directive, with its final dot
	Name   string // of the question, in lower case and with its final dot
	Regex  string // the pattern that matches
	Match  []string
	Group  map[string]string // by number and by name
	Class  string
	Type   string
	Remote string // the client's address
	Var    map[string]any

	request  *Request
	question *question
	message  *dns.Msg
	passes   int
}

// templateFields are the names that a text may print alone.
var templateFields = []string{"Zone", "Name", "Regex", "Match", "Group", "Class", "Type", "Remote", "Message",
	"Question", "Var", "Pass"}

func isTemplateField(name string) bool { return slices.Contains(templateFields, name) }

// everyName is the pattern of a directive that has none.
const everyName = ".*"

// newTemplateData gathers what texts refer to. The question's name is r.text.
func newTemplateData(r *Request, q *question, s *templateScope, p *pattern) *templateData {
	d := &templateData{
		Zone: s.zone.name, Name: string(r.text), Regex: everyName, Group: map[string]string{},
		Class: dns.Class(s.rule.class(q)).String(), Type: dns.Type(s.rule.qtype(q)).String(),
		Remote: r.Client.Addr().Unmap().String(), request: r, question: q,
	}
	names := []string{""}
	if d.Match = []string{d.Name}; p != nil {
		d.Regex, d.Match, names = p.String(), p.FindStringSubmatch(d.Name), p.SubexpNames()
	}
	for i, text := range d.Match {
		d.Group[strconv.Itoa(i)] = text
	}
	for i, text := range d.Match {
		if names[i] != "" {
			d.Group[names[i]] = text
		}
	}
	return d
}

// qtype is the type of the question, or of the directive if the question is for any type.
func (t *templateRule) qtype(q *question) wire.Type {
	if q.qtype == wire.TypeANY {
		return wire.Type(t.options.Type)
	}
	return q.qtype
}

// class is the class of the question, or of the directive if the question is for any class.
func (t *templateRule) class(q *question) wire.Class {
	if q.class == wire.ClassANY {
		return wire.Class(t.options.Class)
	}
	return q.class
}

// Message is the query, with the question that the directive answers.
func (d *templateData) Message() (*dns.Msg, error) {
	if d.message != nil {
		return d.message, nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(d.request.Query.Packet); err != nil || len(m.Question) != 1 {
		return nil, fmt.Errorf("the query cannot be read: %w", err)
	}
	if !d.question.asked {
		m.Question[0].Name = d.Name
	}
	m.Question[0].Qtype = uint16(d.question.qtype)
	d.message = m
	return m, nil
}

// Question is the question, with the letter case of the query.
func (d *templateData) Question() (*dns.Question, error) {
	m, err := d.Message()
	if err != nil {
		return nil, err
	}
	return &m.Question[0], nil
}

// Meta is the value of a label of the directive metadata, "" for one that there is not.
func (d *templateData) Meta(label string) string {
	value, _ := d.request.Metadata(label)
	return value
}

// Pass counts a pass of a loop. It prints nothing.
func (d *templateData) Pass() (string, error) {
	if d.passes++; d.passes > TemplatePasses {
		return "", errors.New("the loops of a template run too often")
	}
	return "", nil
}
