package resolver

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The bounds of the texts that templates make for a query. No record that names a client is near them.
const (
	// TemplateOctets is the longest text of one record, and of any value made on its way.
	TemplateOctets = 8 << 10
	// TemplatePasses is how often the loops of one directive may run for one query, all together.
	TemplatePasses = 1000
)

// recordText is a text of Go's text/template that makes one record in presentation format.
type recordText struct {
	text   string
	parsed *template.Template
	fields []string // if the text has no actions but {{ .FIELD }}: what is between the literals, else nil
	words  []string // the literals around the fields, one more than these
}

// recordFor is a text for the names of one zone of a directive.
type recordFor struct {
	text     *recordText
	section  int
	prepared bool // record is what the text makes for every question
	named    bool // but for its owner, which is the name of the question
	record   wire.Written
}

// CheckTemplate says what is wrong with the text of a record that a directive template makes.
func CheckTemplate(text string) error {
	_, err := parseRecordText("answer", text)
	return err
}

// parseRecordText compiles a text. A text that calls another is refused, since calls may go round in a circle, and
// loops are counted: each pass begins with a call of Pass.
// The name of the section is what messages begin with, as in CoreDNS.
func parseRecordText(section, text string) (*recordText, error) {
	parsed, err := template.New(section).Funcs(templateFunctions()).Parse(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "+section+":1: "))
	}
	t := &recordText{text: text, parsed: parsed}
	if parsed.Tree == nil || parsed.Root == nil {
		return t, nil
	}
	if t.words, t.fields, err = literals(parsed.Root); err != nil {
		return nil, err
	}
	return t, countLoops(parsed.Root, countPass())
}

// countPass is the action {{ $.Pass }}.
func countPass() parse.Node {
	return template.Must(template.New("").Parse("{{ $.Pass }}")).Root.Nodes[0]
}

// countLoops puts the action count at the beginning of each loop.
func countLoops(list *parse.ListNode, count parse.Node) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		var branches *parse.BranchNode
		switch n := node.(type) {
		case *parse.IfNode:
			branches = &n.BranchNode
		case *parse.WithNode:
			branches = &n.BranchNode
		case *parse.RangeNode:
			branches = &n.BranchNode
		case *parse.TemplateNode:
			return errors.New("a text cannot call another one: write that in its place")
		default:
			continue
		}
		for _, branch := range []*parse.ListNode{branches.List, branches.ElseList} {
			if err := countLoops(branch, count); err != nil {
				return err
			}
		}
		if loop, ok := node.(*parse.RangeNode); ok {
			loop.List.Nodes = append([]parse.Node{count}, loop.List.Nodes...)
		}
	}
	return nil
}

// literals splits a text that has no actions but {{ .FIELD }}. fields is nil for any other text.
func literals(list *parse.ListNode) (words, fields []string, err error) {
	words, fields = []string{""}, []string{}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			words[len(words)-1] += string(n.Text)
		case *parse.ActionNode:
			field, ok := plainField(n)
			if !ok {
				return nil, nil, nil
			}
			if !isTemplateField(field) {
				return nil, nil, fmt.Errorf("there is no .%s", field)
			}
			words, fields = append(words, ""), append(fields, field)
		default:
			return nil, nil, nil
		}
	}
	return words, fields, nil
}

// plainField is the name of the field that an action prints, if it does nothing else.
func plainField(n *parse.ActionNode) (string, bool) {
	if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
		return "", false
	}
	field, ok := n.Pipe.Cmds[0].Args[0].(*parse.FieldNode)
	if !ok || len(field.Ident) != 1 {
		return "", false
	}
	return field.Ident[0], true
}

// prepare makes the record at once, if it is the same for every question that the directive answers in the zone, but
// perhaps for its owner.
func (t *recordText) prepare(o *Template, section int, zone string) recordFor {
	f := recordFor{text: t, section: section}
	if t.fields == nil {
		return f
	}
	var text strings.Builder
	for i, field := range t.fields {
		text.WriteString(t.words[i])
		value := ""
		switch {
		case field == "Zone":
			value = zone
		case field == "Class" && wire.Class(o.Class) != wire.ClassANY:
			value = dns.Class(o.Class).String()
		case field == "Type" && wire.Type(o.Type) != wire.TypeANY:
			value = dns.Type(o.Type).String()
		case field == "Name" && i == 0 && t.words[0] == "" && strings.HasPrefix(t.words[1], " "):
			value, f.named = ".", true
		default:
			return recordFor{text: t, section: section}
		}
		text.WriteString(value)
	}
	text.WriteString(t.words[len(t.words)-1])
	record, err := parseRecord(text.String())
	f.record, f.prepared = record, err == nil // a text that is no record fails for each question, and is counted
	return f
}

// The steps at which the text of a record may fail, as labels of metrics.
const (
	textFailed   = "template" // it could not be made
	recordFailed = "rr"       // it is no record
)

// record makes the record for data.
func (t *recordText) record(data *templateData) (record wire.Written, why string, err error) {
	text := &boundedText{}
	if err := t.parsed.Execute(text, data); err != nil {
		return record, textFailed, err
	}
	record, err = parseRecord(string(text.octets))
	return record, recordFailed, err
}

// boundedText takes up to TemplateOctets.
type boundedText struct{ octets []byte }

var errTemplateText = fmt.Errorf("the text has more than %d octets", TemplateOctets)

// Write implements io.Writer.
func (b *boundedText) Write(octets []byte) (int, error) {
	if len(b.octets)+len(octets) > TemplateOctets {
		return 0, errTemplateText
	}
	b.octets = append(b.octets, octets...)
	return len(octets), nil
}

// parseRecord reads one record in presentation format.
func parseRecord(text string) (wire.Written, error) {
	rr, err := dns.NewRR(text)
	if err != nil {
		return wire.Written{}, err
	}
	if rr == nil {
		return wire.Written{}, errors.New("the text has no record")
	}
	return feed.Pack(rr)
}

// templateFunctions are the functions of texts: parseInt, and those of Go's that make text, which are bounded here.
func templateFunctions() template.FuncMap {
	functions := template.FuncMap{
		"parseInt": strconv.ParseUint,
		"printf": func(format string, args ...any) (string, error) {
			if wideVerb.MatchString(format) {
				return "", errTemplateText
			}
			return boundedValue(fmt.Sprintf(format, args...))
		},
	}
	for name, function := range map[string]func(...any) string{
		"print": fmt.Sprint, "println": fmt.Sprintln, "html": template.HTMLEscaper, "js": template.JSEscaper,
		"urlquery": template.URLQueryEscaper,
	} {
		functions[name] = func(args ...any) (string, error) { return boundedValue(function(args...)) }
	}
	return functions
}

// wideVerb finds a width or precision of four digits, or one that is an argument.
var wideVerb = regexp.MustCompile(`%[^A-Za-z%]*([0-9]{4}|\*)`)

func boundedValue(text string) (string, error) {
	if len(text) > TemplateOctets {
		return "", errTemplateText
	}
	return text, nil
}
