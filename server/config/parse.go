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

// Load reads and parses the Corefile of the settings. stdin is read only when it is the Corefile. An error of its text
// is Errors.
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
// folder. An error is Errors, unless it has no line, such as that of a working directory that is gone.
func Parse(name string, content []byte, s Settings) (*Config, error) {
	w, err := here()
	if err != nil {
		return nil, err
	}
	return w.parse(name, content, s)
}

func (w *world) parse(name string, content []byte, s Settings) (*Config, error) {
	r := w.examine(name, content, s)
	if len(r.Errors) > 0 {
		return nil, r.Errors
	}
	return r.Config, nil
}

// examine reads a Corefile to its end, whatever mistakes it has.
func (w *world) examine(name string, content []byte, s Settings) *Report {
	r := &Report{Config: &Config{}, lenient: w.lenient, shared: w.shared}
	p := &process{config: r.Config, folder: path.Dir(name)}
	if name == Stdin {
		p.folder = "."
	}
	imports := importer{world: w, folder: p.folder, snippets: map[string][]token{}, warn: r.warn, note: r.note,
		keep: r.Config.keep}
	r.Config.keep(name, content)
	tokens := lex(name, content, w.getenv, r.warn)
	written, err := imports.blocks(tokens)
	r.note(err)
	if len(written) == 0 && len(r.Errors) == 0 {
		written = r.withoutBlock(position{name, 1})
	}
	blocks := w.blocks(written, p, s.Port, r)
	r.Config.Digest = digest(imports.out, blocks...)
	r.Config.Listeners = listeners(blocks, r)
	r.sign(digest(slices.Concat(tokens, imports.out)))
	return r
}

// withoutBlock is what an empty file is served as, as in CoreDNS.
func (r *Report) withoutBlock(at position) []serverBlock {
	r.Config.Empty = at.String() + ": the file has no server block"
	r.warn(at, "the file has no server block: what is asked is answered by whoami")
	return []serverBlock{{keys: []token{{at: at, text: "."}}, directives: []statement{{at: at, name: "whoami"}}}}
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
		if b.Steps.Search != nil {
			fmt.Fprintln(h, b.Steps.Search.Domains)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (w *world) blocks(written []serverBlock, p *process, port uint16, r *Report) (all []*blockReader) {
	for _, s := range written {
		for _, t := range s.absent {
			r.warn(t.at, "%s, and no zone is read in its place", notSet(t.unset))
		}
		b := newBlockReader(s, p, port, r)
		if first := s.keys[0]; len(s.directives) == 0 && slices.Contains(Directives(), first.text) {
			r.warn(first.at, "%q is read as a zone, and nothing is done for it: "+
				"directives stand in a block such as \".:53 { … }\"", first.text)
		}
		b.directives(w, rootFirst(s.directives), r)
		all = append(all, b)
	}
	keepClients(all)
	shareSources(all)
	shareGateways(all)
	checkSnapshots(all, r)
	warnTransfers(all, r.warn)
	return all
}
