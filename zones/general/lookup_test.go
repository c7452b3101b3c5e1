package general

import (
	"testing"

	"github.com/clusterdns/clusterdns/zones/wire"
)

const sample = `
$TTL 300
@ IN SOA ns host 1 7200 1800 86400 60
@ IN NS ns
ns IN A 192.0.2.1
x.y IN A 192.0.2.2
*.w IN A 192.0.2.3
sub IN NS ns.sub
`

func name(text string) *wire.QName {
	packed, err := wire.ParseName(text)
	if err != nil {
		panic(err)
	}
	q := new(wire.QName)
	q.SetString(string(packed))
	return q
}

func TestLookupAllocatesNothing(t *testing.T) {
	z, err := Read("zone", "example.org.", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Outcome{
		"ns.example.org": Found, "y.example.org": NoData, "z.y.example.org": NXDomain, "a.b.w.example.org": Found,
		"sub.example.org": Delegation, "example.org": NoData,
	} {
		q := name(text)
		var got Answer
		if n := testing.AllocsPerRun(100, func() { got = z.Lookup(q, wire.TypeA) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
		if got.Outcome != want {
			t.Errorf("%s: got %v, want %v", text, got.Outcome, want)
		}
	}
}

// FuzzRead: whatever a zone file holds, reading it ends in a zone or in an error that names the file, and a zone answers
// for every name in it.
func FuzzRead(f *testing.F) {
	f.Add([]byte(sample), "www.example.org")
	f.Add([]byte("@ IN SOA ns host 1 2 3 4 5\n* IN CNAME @\n@ IN DNAME x\n"), "a.example.org")
	f.Add([]byte("$INCLUDE zone\n$GENERATE 1-3 h$ A 192.0.2.$\n"), "h1.example.org")
	f.Fuzz(func(t *testing.T, content []byte, text string) {
		z, err := Read("zone", "example.org.", content)
		if err != nil {
			return
		}
		packed, err := wire.ParseName(text)
		if err != nil || !wire.Within(packed, z.Apex().Name) {
			return
		}
		q := new(wire.QName)
		q.SetString(string(packed))
		if a := z.Lookup(q, wire.TypeA); a.Node == nil || a.Set == nil && a.Outcome >= Found {
			t.Errorf("%s: %+v", text, a)
		}
	})
}
