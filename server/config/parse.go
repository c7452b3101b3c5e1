package config

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
)

// Load reads and parses the Corefile of the settings. stdin is read only when it is the Corefile.
func Load(s Settings, stdin io.Reader) (*Config, error) {
	content, err := corefile(s.Conf, stdin)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Conf, reason(err))
	}
	return Parse(s.Conf, content, s)
}

func corefile(name string, stdin io.Reader) ([]byte, error) {
	if name == Stdin {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

// Parse returns the meaning of a Corefile. The name appears in messages; imports and manifests are relative to its
// folder. An error is an *Error, unless it has no line, such as that of a working directory that is gone.
func Parse(name string, content []byte, s Settings) (*Config, error) {
	w, err := here()
	if err != nil {
		return nil, err
	}
	return w.parse(name, content, s)
}

func (w *world) parse(name string, content []byte, s Settings) (c *Config, err error) {
	c = &Config{}
	warn := func(at position, format string, values ...any) {
		c.Warnings = append(c.Warnings, oneLine(at.String()+": "+fmt.Sprintf(format, values...)))
	}
	p := &process{config: c, folder: path.Dir(name)}
	if name == Stdin {
		p.folder = "."
	}
	imports := importer{world: w, folder: p.folder, snippets: map[string][]token{}, warn: warn}
	tokens := lex(name, content, w.getenv, warn)
	defer func() {
		if mistake, ok := err.(*Error); ok {
			mistake.Digest = digest(slices.Concat(tokens, imports.out))
		}
	}()
	if err := imports.expand(tokens); err != nil {
		return nil, err
	}
	written, err := (&parser{tokens: imports.out}).blocks()
	if err != nil {
		return nil, err
	}
	if len(written) == 0 {
		return nil, position{name, 1}.errorf("the file has no server block")
	}
	blocks, err := w.blocks(written, p, s.Port, warn)
	if err != nil {
		return nil, err
	}
	c.Digest = digest(imports.out, blocks...)
	c.Listeners, err = listeners(blocks, warn)
	return c, err
}

// digest hashes words and line breaks, so that a change of comments does not cause a reload. The search lists of blocks are
// in it, since they may come from a file such as /etc/resolv.conf, which changes by itself.
func digest(tokens []token, blocks ...*blockReader) string {
	h := sha512.New()
	for _, t := range tokens {
		fmt.Fprintf(h, "%t %q\n", t.first, t.text)
	}
	for _, b := range blocks {
		if b.Steps.Autopath != nil {
			fmt.Fprintln(h, b.Steps.Autopath.Search)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (w *world) blocks(written []serverBlock, p *process, port uint16, warn warner) ([]*blockReader, error) {
	var all []*blockReader
	table := directives()
	for _, s := range written {
		for _, t := range s.absent {
			warn(t.at, "%s, and no zone is read in its place", notSet(t.unset))
		}
		b, err := newBlockReader(s, p, port, warn)
		if err != nil {
			return nil, err
		}
		if first := s.keys[0]; len(s.directives) == 0 && slices.Contains(Directives(), first.text) {
			warn(first.at, "%q is read as a zone, and nothing is done for it: "+
				"directives stand in a block such as \".:53 { … }\"", first.text)
		}
		for _, d := range s.directives {
			if err := b.directive(&args{statement: d, world: w, title: d.name, warn: warn}, table); err != nil {
				return nil, err
			}
		}
		b.checkAutopath()
		if err := b.checkExternals(); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	shareExternals(all)
	warnTransfers(all, warn)
	return all, nil
}
