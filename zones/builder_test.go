package zones

import (
	"errors"
	"fmt"
	"testing"
)

// TestManyNames: a name is one name however many there are, also once the builder is used again for a small service, and no host
// outside is one of them.
func TestManyNames(t *testing.T) {
	var b Builder
	for _, count := range []int{1000, 3, 300} {
		b.Start("prod", "web")
		names := map[Name]string{}
		for range 2 {
			for i := range count {
				name := fmt.Sprintf("n%d", i)
				at := b.Name(name)
				if was, ok := names[at]; ok && was != name {
					t.Fatalf("%q and %q are one name", was, name)
				}
				names[at] = name
				host := b.Host(append(append([]byte{byte(len(name))}, name...), 0))
				if was, ok := names[host]; ok && was != name+"." {
					t.Fatalf("%q and the host %q are one name", was, name)
				}
				names[host] = name + "."
			}
		}
		if len(names) != 2*count {
			t.Errorf("%d names and %d hosts are %d", count, count, len(names))
		}
		r, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		for i := range count {
			var n Node
			if name := fmt.Sprintf("n%d", i); !r.find(&n, append([]byte{byte(len(name))}, name...)) || n.IsHost() {
				t.Fatalf("%q of %d is not found", name, count)
			}
		}
	}
}

// TestLargeIsLetGo: a builder keeps the memory for a large service in no case, and of one that is too large what it needs to build
// it without names.
func TestLargeIsLetGo(t *testing.T) {
	for name, edit := range map[string]func(*Builder){
		"built":        func(*Builder) {},
		"without":      func(b *Builder) { b.NoNames("none") },
		"invalid name": func(b *Builder) { b.Name("a..b") },
		"too large":    func(b *Builder) { b.Limit(-1) },
	} {
		var b Builder
		b.Start("prod", "web")
		for i := range keptDrafts + 1 {
			b.Name(fmt.Sprint("n", i))
		}
		edit(&b)
		_, err := b.Build()
		if (err != nil) != (name == "invalid name" || name == "too large") {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, ErrTooLarge) {
			b.NoNames("too large")
			if r, err := b.Build(); err != nil || r.owner != "\x03web\x04prod" || r.why != "too large" {
				t.Errorf("%+v, %v", r, err)
			}
		}
		if cap(b.drafts)+cap(b.byName)+cap(b.rank) > 0 {
			t.Errorf("%s: memory for %d names is kept", name, cap(b.drafts))
		}
	}
}
