package general

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// model is a zone as RFC 1034 section 4.3.2 sees it: types by name, and nothing that makes a lookup fast. Names are text,
// "" for the apex and "a.b" for a.b.zone.
type model map[string][]wire.Type

// exists reports whether a name is an owner or above one (RFC 4592 section 2.2.2).
func (m model) exists(name string) bool {
	for owner := range m {
		if owner == name || strings.HasSuffix(owner, "."+name) {
			return true
		}
	}
	return name == ""
}

func (m model) has(name string, t wire.Type) bool { return slices.Contains(m[name], t) }

// verdict is what a lookup says: the outcome, the name it is of, and the type of the rrset, 0 for none.
type verdict struct {
	outcome Outcome
	at      string
	typ     wire.Type
}

// lookup goes down from the apex, label by label, as the RFC has it.
func (m model) lookup(name string, t wire.Type) verdict {
	labels := strings.Split(name, ".")
	if name == "" {
		labels = nil
	}
	for i := len(labels); i >= 0; i-- {
		at := strings.Join(labels[i:], ".")
		if !m.exists(at) { // step 3c
			above := strings.Join(labels[i+1:], ".")
			wild := strings.TrimSuffix("*."+above, ".")
			if !m.exists(wild) {
				return verdict{NoName, above, 0}
			}
			return m.answer(wild, t)
		}
		if i == 0 && (t == wire.TypeDS || at == "" || !m.has(at, wire.TypeNS)) {
			return m.answer(at, t) // step 3a
		}
		switch {
		case at != "" && m.has(at, wire.TypeNS): // step 3b
			return verdict{Referral, at, wire.TypeNS}
		case m.has(at, wire.TypeDNAME): // RFC 6672 section 3.2
			return verdict{Redirect, at, wire.TypeDNAME}
		}
	}
	panic("not reached")
}

// answer is what a node has of a type.
func (m model) answer(at string, t wire.Type) verdict {
	switch {
	case m.has(at, t):
		return verdict{Found, at, t}
	case t == wire.TypeANY && len(m[at]) > 0:
		return verdict{Found, at, slices.Min(m[at])}
	case t != wire.TypeANY && m.has(at, wire.TypeCNAME):
		return verdict{Alias, at, wire.TypeCNAME}
	}
	return verdict{NoData, at, 0}
}

// target is what a record that leads to name finds: the name itself, glue too, or a wildcard where nothing hides it.
func (m model) target(name string) (at string, ok bool) {
	if m.exists(name) {
		return name, true
	}
	v := m.lookup(name, wire.TypeA)
	return v.at, v.outcome == Found || v.outcome == Alias || v.outcome == NoData
}

const modelApex = "zone.test"

// full is a name of the model in wire form.
func full(name string) []byte {
	packed, err := wire.ParseName(strings.TrimPrefix(name+"."+modelApex, "."))
	if err != nil {
		panic(err)
	}
	return packed
}

// randomModel has up to 12 owners of four labels at most. Some of it no file should have: records below zone cuts and
// DNAMEs, wildcards with NS and DNAME records, CNAME beside others.
func randomModel(r *rand.Rand) model {
	m := model{"": {wire.TypeSOA, wire.TypeNS}}
	types := []wire.Type{wire.TypeA, wire.TypeA, wire.TypeTXT, wire.TypeCNAME, wire.TypeDNAME, wire.TypeNS, wire.TypeDS, wire.TypeMX}
	for range r.IntN(13) {
		var labels []string
		for range r.IntN(5) {
			labels = append(labels, []string{"a", "b", "c", "*"}[r.IntN(4)])
		}
		name := strings.Join(labels, ".")
		if t := types[r.IntN(len(types))]; !m.has(name, t) {
			m[name] = append(m[name], t)
		}
	}
	return m
}

// build makes the zone of a model, with its records in any order.
func (m model) build(t *testing.T, r *rand.Rand) *Zone {
	t.Helper()
	var records []wire.Written
	for name, types := range m {
		for _, typ := range types {
			data := []byte{192, 0, 2, 1}
			switch typ {
			case wire.TypeSOA:
				data = append(append(full("ns"), full("host")...), make([]byte, 20)...)
			case wire.TypeMX:
				data = append([]byte{0, 1}, full("b")...)
			case wire.TypeNS, wire.TypeCNAME, wire.TypeDNAME:
				data = full("a")
			}
			records = append(records, wire.Written{Owner: full(name), Type: typ, Class: wire.ClassIN, TTL: 60, Data: data})
		}
	}
	r.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	b := NewBuilder(full(""))
	for i := range records {
		if err := b.Add(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	z, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if z.Records() != len(records) {
		t.Fatalf("%d records of %d", z.Records(), len(records))
	}
	return z
}

// everyName are the names of up to five labels in the zone.
func everyName() (all []string) {
	all = []string{""}
	for last := all; len(last) < 1024; {
		var next []string
		for _, name := range last {
			for _, label := range []string{"a", "b", "c", "*"} {
				next = append(next, strings.TrimSuffix(label+"."+name, "."))
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

// TestLookupIsTheModels: a lookup in zones of chance says what the algorithm of RFC 1034 says, step by step.
func TestLookupIsTheModels(t *testing.T) {
	types := []wire.Type{wire.TypeA, wire.TypeNS, wire.TypeCNAME, wire.TypeDNAME, wire.TypeDS, wire.TypeANY}
	names := everyName()
	asked := make([]*wire.QName, len(names))
	for i, name := range names {
		asked[i] = new(wire.QName)
		asked[i].SetString(string(full(name)))
	}
	met := map[Outcome]int{}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		m := randomModel(r)
		z := m.build(t, r)
		for i, name := range names {
			for _, typ := range types {
				want, got := m.lookup(name, typ), said(z.Lookup(asked[i], typ), name)
				if met[want.outcome]++; got != want {
					t.Fatalf("seed %d, %v: %q %d: got %v, want %v", seed, m, name, typ, got, want)
				}
			}
			at, ok := m.target(name)
			if n, found := z.Target(full(name)); found != ok || found && string(n.Owner()) != string(full(at)) {
				t.Fatalf("seed %d, %v: target %q: got %v, want %q %v", seed, m, name, found, at, ok)
			}
		}
	}
	for outcome := Found; outcome <= NoName; outcome++ {
		if t.Logf("outcome %d: %d lookups", outcome, met[outcome]); met[outcome] == 0 {
			t.Errorf("no lookup has the outcome %d", outcome)
		}
	}
}

// said is the verdict of a match for name.
func said(m Match, name string) verdict {
	v := verdict{outcome: m.Outcome, typ: m.RRset.Type}
	if m.Outcome == NoName { // it says how long the longest name above is
		labels := strings.Split(name, ".")
		v.at = strings.Join(labels[len(labels)-m.Labels+2:], ".")
		return v
	}
	text := strings.TrimSuffix(wire.NameString(m.Node.Owner()), modelApex+".")
	v.at = strings.TrimSuffix(text, ".")
	if wire.Labels(m.Node.Owner()) != m.Labels {
		panic(fmt.Sprint("labels of the node: ", m.Labels))
	}
	return v
}
