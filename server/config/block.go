package config

import (
	"github.com/clusterdns/clusterdns/resolver"
)

// blockReader reads the directives of one server block into its Block.
type blockReader struct {
	Block
	*process
	at        position
	keys      []located
	zones     []string // of all keys: what directives mean when they name none
	bind      []binding
	transfers []position // of Steps.Transfers
	seen      map[string]position

	autopathAt *args      // autopath @kubernetes
	externals  []position // of Steps.Externals
}

// located is a key with its place.
type located struct {
	key
	at position
}

// process is what directives say about the whole process, whichever block they stand in.
type process struct {
	config *Config
	folder string // of the Corefile
}

func newBlockReader(s serverBlock, p *process, port uint16, warn warner) (*blockReader, error) {
	b := &blockReader{process: p, at: s.keys[0].at, seen: map[string]position{}}
	b.At = b.at.String()
	for _, t := range s.keys {
		k, err := parseKey(t.text, port)
		if err != nil {
			return nil, t.at.errorf("%v", err)
		}
		for _, text := range doubts(t.text) {
			warn(t.at, "%s", text)
		}
		b.keys = append(b.keys, located{k, t.at})
		b.zones = append(b.zones, k.zones...)
	}
	b.Steps = resolver.Block{Zones: b.zones}
	return b, nil
}

// directive reads one directive.
func (b *blockReader) directive(a *args, table []directive) error {
	d, known := find(table, a.name)
	before, twice := b.seen[a.name]
	switch {
	case !known:
		return a.at.errorf("unknown directive %q%s%s", a.name, DidYouMean(a.name, namesOf(table)), hintUnset(a.variables()))
	case d.read == nil:
		return a.at.errorf("directive %q is not supported yet", a.name)
	case d.once && twice:
		return a.at.errorf("%s: may be given once in a server block, and is at %s", a.name, before)
	}
	b.seen[a.name] = a.at
	d.read(b, a)
	a.end()
	return a.err
}

func namesOf(table []directive) (names []string) {
	for _, d := range table {
		names = append(names, d.name)
	}
	return names
}
