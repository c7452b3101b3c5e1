package zones

import (
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
