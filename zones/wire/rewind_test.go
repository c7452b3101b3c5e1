package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// started is a reply to a question for an A record.
func started(t testing.TB, name string, limit int) (*Reply, *Query) {
	t.Helper()
	question := new(dns.Msg).SetQuestion(name, dns.TypeA)
	question.Id = 1
	packet, err := question.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q, r := new(Query), new(Reply)
	if v := q.Parse(packet); v != Valid {
		t.Fatalf("verdict %v", v)
	}
	r.Start(q, make([]byte, 0, limit), limit, 1232)
	return r, q
}

func wireName(t testing.TB, text string) []byte {
	t.Helper()
	name, err := ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func unpacked(t testing.TB, r *Reply) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(r.Finish()); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRewind takes back records, flags, the rcode and the Extended DNS Error. What is written afterwards is the same as
// without the detour.
func TestRewind(t *testing.T) {
	build := func(detour bool) []byte {
		r, _ := started(t, "www.example.org.", 512)
		at, _ := r.AddName(AtQName, TypeCNAME, 60, nil, string(wireName(t, "a.example.net")))
		if detour {
			m := r.Mark()
			r.AddName(at, TypeCNAME, 60, nil, string(wireName(t, "b.example.com")))
			r.SetFlags(FlagAA)
			r.Rcode = NameError
			r.Explain(Other, "wrong way")
			for r.AddRecord(at, TypeA, 60, "\xc0\x00\x02\x01") {
			}
			r.Begin(Authority)
			r.Rewind(m)
		}
		r.AddName(at, TypeCNAME, 60, nil, string(wireName(t, "b.example.net")))
		return bytes.Clone(r.Finish())
	}
	if straight, around := build(false), build(true); !bytes.Equal(straight, around) {
		t.Errorf("%x\n%x", straight, around)
	}
}

// TestRework writes the answer to another name again, for the name that was asked for.
func TestRework(t *testing.T) {
	r, _ := started(t, "www.example.org.", 512)
	m := r.Mark()
	placed := wireName(t, "web.prod.svc.cluster.local")
	owner := r.PlaceName(placed)
	at, _ := r.AddName(owner, TypeCNAME, 60, nil, string(wireName(t, "real.prod.svc.cluster.local")))
	r.AddRecord(at, TypeA, 60, "\xc0\x00\x02\x01")
	r.AddRecord(at, TypeA, 60, "\xc0\x00\x02\x02")
	r.Begin(Authority)
	r.AddSOA(r.Suffix(owner, 3), wireName(t, "cluster.local"), 5, "\x02ns", "\x04host", [5]uint32{1, 2, 3, 4, 5})
	r.SetFlags(FlagAA)
	r.Rework(m, len(placed), nil, func(w *Written) {
		if bytes.Equal(w.Owner, placed) {
			w.Owner = wireName(t, "www.example.org")
		}
		w.SetTarget(func(name []byte) []byte {
			if w.Type == TypeCNAME {
				return wireName(t, "real.example.org")
			}
			return name
		})
	})
	got := unpacked(t, r)
	want := []string{
		"www.example.org.\t60\tIN\tCNAME\treal.example.org.",
		"real.prod.svc.cluster.local.\t60\tIN\tA\t192.0.2.1",
		"real.prod.svc.cluster.local.\t60\tIN\tA\t192.0.2.2",
		"cluster.local.\t5\tIN\tSOA\tns.cluster.local. host.cluster.local. 1 2 3 4 5",
	}
	for i, rr := range append(got.Answer, got.Ns...) {
		if rr.String() != want[i] {
			t.Errorf("record %d: %s", i, rr)
		}
	}
	if len(got.Answer) != 3 || len(got.Ns) != 1 || !got.Authoritative || got.Truncated {
		t.Errorf("%v", got)
	}
}

// TestReworkCompresses: owners that are another name than the question's are written once.
func TestReworkCompresses(t *testing.T) {
	r, _ := started(t, "www.example.org.", 512)
	m := r.Mark()
	placed := wireName(t, "web.prod.svc.cluster.local")
	owner := r.PlaceName(placed)
	for i := range 10 {
		r.AddRecord(owner, TypeA, 60, string([]byte{192, 0, 2, byte(i)}))
	}
	r.Rework(m, len(placed), nil, func(*Written) {})
	question := HeaderSize + len("\x03www\x07example\x03org\x00") + 4
	if want := question + len(placed) + 10 + 4 + 9*(2+10+4); r.Len() != want {
		t.Errorf("%d octets, want %d", r.Len(), want)
	}
	if m := unpacked(t, r); len(m.Answer) != 10 || m.Answer[9].Header().Name != "web.prod.svc.cluster.local." {
		t.Errorf("%v", m)
	}
}

// TestReworkCuts: a reply that grows past its limit is cut behind the last record that fits.
func TestReworkCuts(t *testing.T) {
	r, _ := started(t, "www.example.org.", 200)
	m := r.Mark()
	for r.AddRecord(AtQName, TypeA, 60, "\xc0\x00\x02\x01") {
	}
	before := r.Count(Answer)
	r.ClearFlags(FlagTC)
	r.Rework(m, 0, nil, func(w *Written) {
		w.Type, w.Data = TypeAAAA, append([]byte("\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00"), w.Data...)
	})
	size := r.Len()
	got := unpacked(t, r)
	if !got.Truncated || len(got.Answer) == 0 || len(got.Answer) >= before || size > 200 {
		t.Errorf("%d records of %d, %v", len(got.Answer), before, got)
	}
}

// FuzzSetTarget: SetTarget finds names in any data, or leaves the data alone.
func FuzzSetTarget(f *testing.F) {
	f.Add(uint16(TypeSRV), []byte("\x00\x00\x00\x64\x00\x50\x01a\x00"))
	f.Add(uint16(typeNAPTR), []byte("\x00\x01\x00\x02\x01s\x00\x00\x01a\x00"))
	f.Add(uint16(TypeSOA),
		[]byte("\x01a\x00\x01b\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, typ uint16, data []byte) {
		w := &Written{Type: Type(typ), Data: data}
		w.SetTarget(func(name []byte) []byte {
			if len(name) == 0 || name[len(name)-1] != 0 {
				t.Fatalf("%x is no name", name)
			}
			return []byte{0}
		})
	})
}

// TestReworkBeyondPointers: a name that comes to lie where no compression pointer reaches is written in full again. The
// padding moves the names across the limit octet by octet.
func TestReworkBeyondPointers(t *testing.T) {
	for pad := range 40 {
		r, _ := started(t, "x.example.org.", MaxMessage)
		m := r.Mark()
		placed := wireName(t, "_http._tcp.svc.prod.svc.cluster.local")
		owner := r.PlaceName(placed)
		r.AddText(owner, 5, strings.Repeat("x", pad))
		pod := func(i int) string { return fmt.Sprintf("pod-%d.svc.prod.svc.cluster.local", i) }
		var at [500]Offset
		for i := range at {
			at[i], _ = r.AddName(owner, TypeSRV, 5, []byte{0, 0, 0, 1, 0, 80}, string(wireName(t, pod(i))))
		}
		r.Begin(Additional)
		for i := range 100 {
			r.AddRecord(at[i], TypeA, 5, "\x01\x02\x03\x04")
		}
		r.Rework(m, len(placed), nil, func(w *Written) {
			if w.Section == Answer {
				w.Owner = wireName(t, "x.example.org")
			}
		})
		got := new(dns.Msg)
		if err := got.Unpack(r.Finish()); err != nil || len(got.Answer) != 501 || len(got.Extra) != 100 {
			t.Fatalf("padding of %d: %v, %d and %d records", pad, err, len(got.Answer), len(got.Extra))
		}
		for i, record := range got.Extra {
			if record.Header().Name != pod(i)+"." {
				t.Fatalf("padding of %d: %s, want %s", pad, record.Header().Name, pod(i))
			}
		}
	}
}
