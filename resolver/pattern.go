package resolver

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// pattern is a regular expression over names in presentation form: lower case, with every octet that is not printable
// ASCII behind a backslash (see wire.AppendName). What each match has to begin with, to end with and to contain is
// known beforehand, so that the expression itself, which takes a hundred times as long, runs on few other names.
type pattern struct {
	*regexp.Regexp
	prefix   string // with which the text begins
	suffix   string // with which it ends
	contains string // the longest text of which that is known
	filter   nameFilter
}

func newPattern(text string) (*pattern, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	p := &pattern{Regexp: re}
	p.require(flatten(nil, parsed.Simplify()))
	p.filter = filterText(p.contains, p.suffix)
	return p, nil
}

// matches reports whether the expression matches text. It allocates nothing.
func (p *pattern) matches(text []byte) bool { return p.may(text) && p.Match(text) }

// groups are what the whole expression and each of its groups match; nil if it does not match text.
func (p *pattern) groups(text []byte) [][]byte {
	if !p.may(text) {
		return nil
	}
	return p.FindSubmatch(text)
}

// may reports whether the expression can match text. If it says no, it is right.
func (p *pattern) may(text []byte) bool {
	return len(text) >= len(p.prefix)+len(p.suffix) && string(text[:len(p.prefix)]) == p.prefix &&
		string(text[len(text)-len(p.suffix):]) == p.suffix &&
		(p.contains == "" || bytes.Contains(text, []byte(p.contains)))
}

// flatten appends the parts of an expression that follow one another, whatever groups they are in.
func flatten(parts []*syntax.Regexp, re *syntax.Regexp) []*syntax.Regexp {
	if re.Op != syntax.OpConcat && re.Op != syntax.OpCapture {
		return append(parts, re)
	}
	for _, sub := range re.Sub {
		parts = flatten(parts, sub)
	}
	return parts
}

// require finds the texts that parts need. A part that matches nothing but a place does not interrupt a text.
func (p *pattern) require(parts []*syntax.Regexp) {
	first, run := 0, "" // of the text before part i
	for i := 0; i <= len(parts); i++ {
		if i < len(parts) {
			if text, ok := literal(parts[i]); ok {
				run += text
				continue
			}
		}
		switch {
		case first == 0 && len(parts) > 0 && parts[0].Op == syntax.OpBeginText:
			p.prefix = run
		case i == len(parts)-1 && parts[i].Op == syntax.OpEndText:
			p.suffix = run
		case len(run) > len(p.contains):
			p.contains = run
		}
		first, run = i+1, ""
	}
}

// literal is the one text that part matches; ok is false if there are others.
func literal(part *syntax.Regexp) (text string, ok bool) {
	switch part.Op {
	case syntax.OpLiteral:
		if text = string(part.Rune); part.Flags&syntax.FoldCase != 0 {
			text = strings.ToLower(text)
		}
		return text, true
	case syntax.OpBeginText, syntax.OpWordBoundary, syntax.OpNoWordBoundary, syntax.OpEmptyMatch:
		return "", true
	}
	return "", false
}

// nameFilter is what a name in wire form needs for a rule to match its text. It is for many rules and few matches: a
// name that does not pass costs about a nanosecond, and no text is made of it. Of one that passes the text decides. Of
// a name with a dot or an unprintable octet within a label the text could match by its backslash, dot or digits; here
// that is no match. The zero nameFilter lets every name pass.
type nameFilter struct {
	mask, tail uint64 // of the last octets
	labels     uint64 // a bit for each label that the name has to have
	rest       *nameRest
}

// nameRest is what is looked at after the traits of a name.
type nameRest struct {
	size          int // of the name; 0 for any
	end, contains []byte
}

// nameTraits is what filters look at first.
type nameTraits struct{ tail, labels uint64 }

// traitsOf is the last octets of name, the last of them the lowest, and the bits of its labels.
func traitsOf(name []byte) (t nameTraits) {
	for at := 0; name[at] != 0; at += 1 + int(name[at]) {
		t.labels |= labelBit(name[at], name[at+1])
	}
	if len(name) >= 8 {
		t.tail = binary.BigEndian.Uint64(name[len(name)-8:])
		return t
	}
	for _, c := range name {
		t.tail = t.tail<<8 | uint64(c)
	}
	return t
}

// labelBit is the bit of a label of that length, with that first octet.
func labelBit(size, first byte) uint64 { return 1 << ((size*7 + first) & 63) }

func (f *nameFilter) passes(name []byte, t nameTraits) bool {
	return t.tail&f.mask == f.tail && f.labels&^t.labels == 0 && (f.rest == nil || f.rest.fits(name))
}

func (r *nameRest) fits(name []byte) bool {
	return (r.size == 0 || r.size == len(name)) && bytes.HasSuffix(name, r.end) &&
		(len(r.contains) == 0 || bytes.Contains(name, r.contains))
}

// filterExact is for one name.
func filterExact(text string) nameFilter {
	f := filterText("", text)
	if name, err := wire.ParseName(text); err == nil {
		f.labels = traitsOf(name).labels
		f.rest = &nameRest{size: len(name)}
	}
	return f
}

// filterText is for names whose text contains one string and ends with another.
func filterText(contains, suffix string) (f nameFilter) {
	if strings.ContainsRune(contains+suffix, '\\') {
		return nameFilter{} // of whose octets there are several writings
	}
	f.rest = new(nameRest)
	if text, ok := strings.CutSuffix(suffix, "."); ok && text != "" {
		labels := strings.Split(text, ".")
		f.rest.end = append(inWire(labels), 0)
		last := f.rest.end[max(len(f.rest.end)-8, 0):]
		for _, c := range last {
			f.mask, f.tail = f.mask<<8|0xff, f.tail<<8|uint64(c)
		}
		f.need(labels[1:])
	}
	labels := strings.Split(contains, ".")
	last := len(labels) - 1 // may go on
	f.rest.contains = inWire(labels[:last])
	if len(labels[last]) > len(f.rest.contains) {
		f.rest.contains = []byte(labels[last])
	}
	if last > 0 {
		f.need(labels[1:last])
	}
	return f
}

// need has the filter look for whole labels.
func (f *nameFilter) need(labels []string) {
	for _, label := range labels {
		if label != "" {
			f.labels |= labelBit(byte(len(label)), label[0])
		}
	}
}

// inWire is labels in wire form; of the first, which may have begun before, there is no length.
func inWire(labels []string) (octets []byte) {
	for i, label := range labels {
		if i > 0 {
			octets = append(octets, byte(len(label)))
		}
		octets = append(octets, label...)
	}
	return octets
}
