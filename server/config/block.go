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
	grpcs     []resolver.Forward // of the directive grpc, which come after those of forward
	forwards  []position         // of Steps.Forwards, without those of grpc
	transfers []position         // of Steps.Transfers
	seen      map[string]position
	named     []namedZone // by the directives
	base      string      // of relative names of files (directive root); "" for the working directory

	refused     bool         // a directive is, so that what the block lacks may be in it
	unplaced    bool         // a zone or an address to listen on is
	autopathAt  *args        // autopath @kubernetes
	withoutAAAA []deniedAAAA // by templates
	searchAt    *args        // search
	onwardAt    *args        // fallthrough of grpc
	externals   []position   // of Steps.Externals
	snapshots   []*args      // of Sources: their option snapshot, nil without
	tlsAt       position
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

func newBlockReader(s serverBlock, p *process, port uint16, r *Report) *blockReader {
	b := &blockReader{process: p, at: s.keys[0].at, seen: map[string]position{}}
	b.At = b.at.String()
	for _, t := range s.keys {
		k, err := parseKey(t.text, port)
		if err != nil {
			r.note(t.at.errorf("%v", err))
			b.unplaced = true
			continue
		}
		for _, text := range keyDoubts(t.text) {
			r.warn(t.at, "%s", text)
		}
		b.keys = append(b.keys, located{k, t.at})
		b.zones = append(b.zones, k.zones...)
	}
	if len(b.zones) == 0 {
		b.zones = []string{"."} // those that are refused may be any
	}
	b.Steps = resolver.Block{Zones: b.zones}
	return b
}

// directives reads all, and then looks at them together.
func (b *blockReader) directives(w *world, all []statement, r *Report) {
	table := directives()
	for _, d := range all {
		a := &args{statement: d, world: w, title: d.name, warn: r.warn, idle: &r.WithoutEffect}
		before := r.WithoutEffect
		err := b.directive(a, table)
		if err != nil {
			a.err = err
		}
		refused := r.noteAll(d.name, a.mistakes())
		b.refused = b.refused || refused
		b.unplaced = b.unplaced || d.name == "bind" && len(a.mistakes()) > 0
		if !refused && r.WithoutEffect == before {
			r.Served++
		}
	}
	b.Steps.Forwards = append(b.Steps.Forwards, b.grpcs...)
	b.checkAutopath()
	b.checkDeniedAAAA()
	b.checkSearch()
	b.checkOnward()
	if err := b.checkExternals(); err != nil && !b.refused {
		r.noteAll("k8s_external", []error{err})
	}
	b.keepDetails()
	b.warnDoubts(r)
	if err := b.checkTLS(r.warn); err != nil {
		r.noteAll("tls", []error{err})
	}
}

// directive reads one directive.
func (b *blockReader) directive(a *args, table []directive) error {
	d, known := find(table, a.name)
	before, twice := b.seen[a.name]
	switch {
	case !known:
		return a.unknown(namesOf(table))
	case d.read == nil:
		return a.unserved()
	case d.once && twice:
		return a.at.errorf("%s: may be given once in a server block, and is at %s", a.name, before)
	}
	b.seen[a.name] = a.at
	earlier := len(b.zonesOf(a.name))
	d.read(b, a)
	a.end()
	for _, zone := range b.zonesOf(a.name)[earlier:] {
		b.named = append(b.named, namedZone{a.at, a.name, zone})
	}
	return a.err
}

func namesOf(table []directive) (names []string) {
	for _, d := range table {
		names = append(names, d.name)
	}
	return names
}
