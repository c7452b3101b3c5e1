package feed

import (
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/zones/general"
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

func name(t testing.TB, text string) *wire.QName {
	packed, err := wire.ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	q := new(wire.QName)
	q.SetString(string(packed))
	return q
}

func TestLookupAllocatesNothing(t *testing.T) {
	z, _, err := Parse(strings.NewReader(sample), "zone", "example.org.", nil)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]general.Outcome{
		"ns.example.org": general.Found, "y.example.org": general.NoData, "z.y.example.org": general.NoName,
		"a.b.w.example.org": general.Found, "sub.example.org": general.Referral, "example.org": general.NoData,
	} {
		q := name(t, text)
		var got general.Match
		if n := testing.AllocsPerRun(100, func() { got = z.Lookup(q, wire.TypeA) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
		if got.Outcome != want {
			t.Errorf("%s: got %v, want %v", text, got.Outcome, want)
		}
	}
}

// TestRecordsWithoutNames: a record that leads to a name has one, though RFC 3597's form can say that it has no data.
func TestRecordsWithoutNames(t *testing.T) {
	for _, record := range []string{`a CNAME \# 0`, `a DNAME \# 0`, `a NS \# 0`, `a MX \# 0`, `a SRV \# 0`, `a PTR \# 0`} {
		content := "@ 60 IN SOA ns h 1 2 3 4 5\n" + record + "\n"
		if _, _, err := Parse(strings.NewReader(content), "zone", "example.org.", nil); err == nil {
			t.Errorf("%s: taken", record)
		}
	}
}

// FuzzParse: whatever a zone file holds, reading it ends in a zone or in an error, and a zone answers for every name in it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample), "www.example.org")
	f.Add([]byte("@ IN SOA ns host 1 2 3 4 5\n* IN CNAME @\n@ IN DNAME x\n"), "a.example.org")
	f.Add([]byte("$GENERATE 1-3 h$ A 192.0.2.$\n"), "h1.example.org")
	f.Fuzz(func(t *testing.T, content []byte, text string) {
		z, _, err := Parse(strings.NewReader(string(content)), "zone", "example.org.", nil)
		if err != nil {
			return
		}
		packed, err := wire.ParseName(text)
		if err != nil || !wire.Within(packed, []byte(z.Apex())) {
			return
		}
		m := z.Lookup(name(t, text), wire.TypeA)
		switch m.Outcome {
		case general.Alias, general.Redirect:
			if m.RRset.Target() == "" {
				t.Errorf("%s: no target", text)
			}
		case general.Found, general.Referral:
			if len(m.RRset.First()) == 0 {
				t.Errorf("%s: no data", text)
			}
		}
	})
}

// TestErrorsHaveLines: what is wrong with a file is told with its line, where it is about one record.
func TestErrorsHaveLines(t *testing.T) {
	soa := "$TTL 60\n@ IN SOA ns h (\n 1 ; serial\n 2 3 4 5 )\n"
	long := "long IN TXT \"" + strings.Repeat("x", 200) + "\" " + strings.Repeat(`"`+strings.Repeat("y", 250)+`" `, 40) + "\n"
	for content, want := range map[string]string{
		soa + "a IN A 192.0.2\n":             "zone:5: bad A",
		soa + "\n\na CNAME \\# 0\n":          "zone:7: a.example.org.: ",
		soa + long + "a CNAME \\# 0\nb A x":  "zone:6: a.example.org.: ",
		soa + "b IN SOA ns h 1 2 3 4 5\n":    "zone:5: the SOA record is of b.example.org.",
		soa + "; a comment\nc CH TXT x\n":    "zone:6: the record has another class",
		soa + "c 60 IN OPT \\# 0":            "zone:5: ",
		"a 60 IN A 192.0.2.1\n":              "zone: the zone has 0 SOA records",
		soa + "a CNAME b\na CNAME c\n":       "zone: a.example.org. has two CNAME records",
		soa + "$INCLUDE missing\n":           "zone:5: failed to open",
		soa + "d A 192.0.2.1\n$TTL what\n":   "zone:6: ",
		soa + "e IN TXT ( \"x\"\n\"y\"\nf A": "zone:",
	} {
		if _, _, err := Parse(strings.NewReader(content), "zone", "example.org.", nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\ngot  %v\nwant %s", content, err, want)
		}
	}
}
