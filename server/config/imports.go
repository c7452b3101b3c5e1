package config

import (
	"path"
	"strings"
)

// Bounds on what imports add up to: far above what people write, and low enough that a file that imports itself is told
// before it fills the memory.
const (
	importDepth  = 32      // files and snippets within each other
	importCount  = 10_000  // import lines followed
	importTokens = 1 << 20 // words of the result
)

// importer replaces import lines with the tokens of the files and snippets that they name.
type importer struct {
	*world
	folder   string // of the Corefile
	snippets map[string][]token
	depth    int
	count    int
	nesting  int // braces open at this point of the result
	out      []token
	warn     warner
	note     func(error) // takes a mistake that does not stop the reading
	keep     func(name string, content []byte)

	verbatim bool    // files are not imported: their lines stay, and those outside of blocks are in outside
	outside  []token // what they name
}

// blocks reads the server blocks of a file with what it imports.
func (m *importer) blocks(tokens []token) ([]serverBlock, error) {
	if err := m.expand(tokens); err != nil {
		return nil, err
	}
	p := &parser{tokens: m.out}
	all, err := p.blocks()
	for _, at := range p.glued {
		m.warn(at, "} stands behind other words: CoreDNS takes it on a line of its own only")
	}
	return all, err
}

// expand appends tokens to out. Snippets are defined and used in the order of the file: one cannot be used
// before it is defined.
func (m *importer) expand(tokens []token) error {
	for i := 0; i < len(tokens); {
		used, err := m.next(tokens[i:], i == 0 || tokens[i-1].open)
		if err != nil {
			return err
		}
		i += used
	}
	return nil
}

// next handles the first of tokens, with those that belong to it, and returns how many they are.
func (m *importer) next(tokens []token, afterBrace bool) (int, error) {
	t := tokens[0]
	switch {
	case m.nesting == 0 && t.first && isSnippet(t.text):
		return m.define(tokens)
	case t.text == "import" && (t.first || afterBrace):
		return m.follow(tokens)
	case len(m.out) >= importTokens:
		return 0, t.at.errorf("more than %d words after imports", importTokens)
	case t.open:
		m.nesting++
	case t.close:
		m.nesting--
	}
	m.out = append(m.out, t)
	return 1, nil
}

func isSnippet(s string) bool {
	return len(s) > 2 && strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")")
}

// define keeps the tokens between the braces that follow a (name).
func (m *importer) define(tokens []token) (int, error) {
	t, name := tokens[0], strings.Trim(tokens[0].text, "()")
	if len(tokens) < 2 || !tokens[1].open {
		return 0, t.at.errorf("snippet %q needs a block { … }", t.text)
	}
	if _, twice := m.snippets[name]; twice {
		return 0, t.at.errorf("snippet %q is already defined", t.text)
	}
	for i, nesting := 1, 0; i < len(tokens); i++ {
		if tokens[i].open {
			nesting++
		}
		if tokens[i].close {
			nesting--
		}
		if nesting == 0 {
			m.snippets[name] = tokens[2:i]
			return i + 1, nil
		}
	}
	return 0, tokens[1].at.errorf("snippet %q has no closing brace", t.text)
}

// follow expands what an import line names: a snippet, a file, or the files that match a pattern.
func (m *importer) follow(tokens []token) (int, error) {
	t := tokens[0]
	if len(tokens) < 2 || tokens[1].first || tokens[1].text == "" {
		m.note(t.at.errorf("import: needs a file, a pattern or the name of a snippet"))
		return lineLength(tokens), nil
	}
	if len(tokens) > 2 && !tokens[2].first {
		m.note(t.at.errorf("import: unexpected %q, it takes one file, pattern or name of a snippet", tokens[2].text))
		return lineLength(tokens), nil
	}
	m.count++
	if m.depth == importDepth || m.count > importCount {
		return 0, t.at.errorf("import: %q goes too deep, does it import itself?", tokens[1].text)
	}
	m.depth++
	err := m.expandNamed(tokens[1])
	m.depth--
	return 2, err
}

// lineLength is how many tokens stand on the line of the first.
func lineLength(tokens []token) int {
	n := 1
	for n < len(tokens) && !tokens[n].first && !tokens[n].open && !tokens[n].close {
		n++
	}
	return n
}

func (m *importer) expandNamed(what token) error {
	if tokens, known := m.snippets[what.text]; known {
		return m.expand(tokens)
	}
	if m.verbatim {
		m.leave(what)
		return nil
	}
	names, err := m.matches(what)
	if err != nil {
		m.note(err)
		return nil
	}
	for _, name := range names {
		content, err := m.read(name)
		if err != nil {
			bare := when(!strings.ContainsAny(what.text, "/."), "no snippet of this name; as a file: ")
			mistake := what.at.mistake("import: %q: %s%v", name, bare, err)
			mistake.missing = isMissing(err)
			m.note(mistake)
			continue
		}
		m.keep(name, content)
		if err := m.expand(lex(name, content, m.getenv, m.warn)); err != nil {
			return err
		}
	}
	return nil
}

// leave keeps an import line as it is.
func (m *importer) leave(what token) {
	if m.nesting == 0 {
		m.outside = append(m.outside, what)
		return
	}
	m.out = append(m.out, token{at: what.at, text: "import", first: true}, what)
}

// matches returns the files that an import names, relative to the file that it stands in. A pattern may match nothing:
// distributions ship Corefiles that import files which their users may add.
func (m *importer) matches(what token) ([]string, error) {
	pattern := what.text
	if !path.IsAbs(pattern) {
		pattern = path.Join(m.folderOf(what.at.file), pattern)
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return []string{pattern}, nil
	}
	if strings.Count(pattern, "*") > 1 || strings.Count(pattern, "?") > 1 || strings.Contains(pattern, "[") {
		return nil, what.at.errorf("import: %q: a pattern may have one * or ? only", what.text)
	}
	names, err := m.glob(pattern)
	if err != nil {
		return nil, what.at.errorf("import: %q: %v", what.text, err)
	}
	if len(names) == 0 {
		m.warn(what.at, "import: no file matches %q", what.text)
	}
	return names, nil
}

func (m *importer) folderOf(file string) string {
	if file == Stdin {
		return m.folder
	}
	return path.Dir(file)
}
