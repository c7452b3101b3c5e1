package config

import (
	"fmt"
	"slices"
	"strings"
)

// serverBlock is a block of a Corefile as it is written: "ZONE [ZONE…] { DIRECTIVE… }".
type serverBlock struct {
	keys       []token
	absent     []token // zones that are unset variables
	directives []statement
}

// statement is one line with the block that it may open: a directive, or an option of one.
type statement struct {
	at    position
	name  string
	words []string
	unset []string    // of the name and each word: the unset variables that it consists of, or ""
	lines []statement // of that block
}

// statementDepth bounds how deep blocks nest, because the parser recurses; no directive needs more than two levels.
const statementDepth = 16

// parser reads server blocks from tokens in which the imports have been replaced.
type parser struct {
	tokens []token
	next   int
	glued  []position // closing braces behind words, which CoreDNS does not take
}

func (p *parser) more() bool     { return p.next < len(p.tokens) }
func (p *parser) peek() token    { return p.tokens[p.next] }
func (p *parser) take() token    { p.next++; return p.tokens[p.next-1] }
func (p *parser) last() position { return p.tokens[len(p.tokens)-1].at }

// blocks reads up to the first mistake: what follows a brace too many means nothing certain. The block before it may be
// wrong too, since it may have ended too early.
func (p *parser) blocks() ([]serverBlock, error) {
	var all []serverBlock
	for p.more() {
		b, err := p.serverBlock()
		if err != nil {
			return all[:max(0, len(all)-1)], err
		}
		if len(b.keys) > 0 { // "" is no zone
			all = append(all, b)
		}
	}
	return all, nil
}

func (p *parser) serverBlock() (b serverBlock, err error) {
	keys, err := p.keys()
	for _, t := range keys {
		if t.text != "" {
			b.keys = append(b.keys, t)
		} else if t.unset != "" {
			b.absent = append(b.absent, t)
		}
	}
	if err != nil || !p.more() {
		return b, err
	}
	if p.peek().open {
		if len(b.keys) == 0 {
			return b, p.peek().at.errorf("a server block needs a zone before its {%s", hintUnset(b.unset()))
		}
		b.directives, err = p.body(p.take().at, 0)
		return b, err
	}
	if len(b.keys) == 0 {
		return b, p.peek().at.errorf("a server block needs a zone before its directives%s", hintUnset(b.unset()))
	}
	// A file of a single block may do without braces.
	for p.more() && err == nil {
		err = p.statement(&b.directives, 0)
	}
	return b, err
}

// unset are the variables in the place of zones.
func (b *serverBlock) unset() string {
	var names []string
	for _, t := range b.absent {
		names = append(names, t.unset)
	}
	return strings.Join(names, ", ")
}

// keys reads zones up to the end of the line or a brace; after a comma they go on in the next line.
func (p *parser) keys() (keys []token, err error) {
	for comma := false; ; {
		t := p.peek()
		if t.open && comma {
			return nil, t.at.errorf("a zone must follow the comma")
		}
		if t.open {
			return keys, nil
		}
		if t.close {
			return nil, t.at.errorf("unexpected }, no block is open%s", p.slip())
		}
		p.next++
		t.text, comma = strings.CutSuffix(t.text, ",")
		keys = append(keys, t)
		if !p.more() && comma {
			return nil, t.at.errorf("a zone must follow the comma")
		}
		if !p.more() || !comma && p.peek().first {
			return keys, nil
		}
	}
}

// body reads statements up to the brace that closes the block opened at start.
func (p *parser) body(start position, depth int) (all []statement, err error) {
	if depth > statementDepth {
		return nil, start.errorf("blocks nest too deep")
	}
	for p.more() {
		if p.peek().close {
			if brace := p.take(); !brace.first && len(all) > 0 {
				p.glued = append(p.glued, brace.at)
			}
			return all, nil
		}
		if err := p.statement(&all, depth); err != nil {
			return nil, err
		}
	}
	return nil, p.last().errorf("the file ends within the block opened at %s: a } is missing%s", start, p.slip())
}

// slip hints at the last word that may have unbalanced the braces, "" when there is none.
func (p *parser) slip() string {
	for _, t := range slices.Backward(p.tokens[:p.next]) {
		switch s := t.text; {
		case len(s) < 2:
		case strings.Contains(s, "\n"):
			return fmt.Sprintf(" (is the quote closed that opens at %s?)", t.at)
		case s[0] == '{' || s[len(s)-1] == '{' || s[len(s)-1] == '}' && !strings.Contains(s, "{"):
			return fmt.Sprintf(" (a brace stands alone: is a space missing in %q at %s?)", s, t.at)
		}
	}
	return ""
}

func (p *parser) statement(all *[]statement, depth int) (err error) {
	t := p.take()
	if t.open {
		return t.at.errorf("{ must stand at the end of the line that it belongs to")
	}
	if t.close {
		return t.at.errorf("unexpected }, no block is open%s", p.slip())
	}
	s := statement{at: t.at, name: t.text, unset: []string{t.unset}}
	for p.more() && !p.peek().first && !p.peek().open && !p.peek().close {
		w := p.take()
		s.words, s.unset = append(s.words, w.text), append(s.unset, w.unset)
	}
	if p.more() && p.peek().open && !p.peek().first {
		s.lines, err = p.body(p.take().at, depth+1)
	}
	*all = append(*all, s)
	return err
}
