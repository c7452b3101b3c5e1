package config

import (
	"io/fs"
	"path"
)

// root DIR: where relative names of zone files, hosts files and weights are looked for. It counts for the whole block,
// wherever it stands in it.
func (b *blockReader) root(a *args) {
	b.base = a.word("a folder")
	a.finish()
	if a.err != nil {
		return
	}
	if info, err := fs.Stat(a.files, a.rooted(b.base)); err != nil {
		a.warnf("%q cannot be read yet: %v", b.base, reason(err))
	} else if !info.IsDir() {
		a.warnf("%q is not a folder", b.base)
	}
}

// inRoot is a name of a file or folder as root has it.
func (b *blockReader) inRoot(name string) string {
	if name == "" || b.base == "" || path.IsAbs(name) {
		return name
	}
	return path.Join(b.base, name)
}

// rootFirst is the directives with root before all others, which it counts for.
func rootFirst(all []statement) (sorted []statement) {
	for _, root := range []bool{true, false} {
		for _, d := range all {
			if (d.name == "root") == root {
				sorted = append(sorted, d)
			}
		}
	}
	return sorted
}
