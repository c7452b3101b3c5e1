package resolver

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// newKey makes a key of cluster.local, whose files are base and an extension.
func newKey(t testing.TB, base string) *dns.DNSKEY {
	t.Helper()
	k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "cluster.local.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 60},
		Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	private := must(k.Generate(256))
	writeFile(t, base+".key", k.String())
	writeFile(t, base+".private", k.PrivateKeyString(private))
	return k
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// signedSample is the small cluster with signed answers.
func signedSample(t testing.TB) (r *Resolver, base string, key *dns.DNSKEY) {
	base = filepath.Join(t.TempDir(), "key")
	key = newKey(t, base)
	return sample(t, func(b *Block) {
		b.Dnssec = &Dnssec{Zones: []string{"cluster.local."}, Keys: []string{base}, Capacity: 1000}
	}), base, key
}

// signedQuery asks with DO, at one moment.
type signedQuery struct {
	r       *Resolver
	request Request
	buf     []byte
}

func newSignedQuery(r *Resolver, client string) *signedQuery {
	q := &signedQuery{r: r, buf: make([]byte, wire.MaxMessage)}
	q.request.Now, q.request.Proto = time.Now(), UDP
	q.request.Client = netip.MustParseAddrPort(client)
	return q
}

func signedPacket(name string, t uint16) []byte {
	m := new(dns.Msg).SetQuestion(name, t)
	m.SetEdns0(1232, true)
	return must(m.Pack())
}

func (q *signedQuery) ask(name string, t uint16) *dns.Msg {
	reply, _ := q.r.Answer(&q.request, signedPacket(name, t), q.buf)
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		panic(err)
	}
	return m
}

const signedName = "web.prod.svc.cluster.local."

// TestDnssecFlood: one that asks for names without end uses up its share of the time for signing, and no more. What is
// kept is answered, others are, and so is it when time has passed.
func TestDnssecFlood(t *testing.T) {
	r, _, _ := signedSample(t)
	flood := newSignedQuery(r, "192.0.2.1:53")
	if m := flood.ask(signedName, dns.TypeA); len(m.Answer) != 2 {
		t.Fatalf("got\n%s", m)
	}
	refused := false
	for i := range 1 << 18 {
		m := flood.ask(fmt.Sprintf("n%d.prod.svc.cluster.local.", i), dns.TypeA)
		if refused = m.Rcode == dns.RcodeServerFailure; refused {
			if text := m.String(); !strings.Contains(text, edeManySigned) || len(m.Answer)+len(m.Ns) > 0 {
				t.Errorf("got\n%s", m)
			}
			break
		}
	}
	if !refused {
		t.Fatal("the server signs without end")
	}
	if m := flood.ask(signedName, dns.TypeA); len(m.Answer) != 2 {
		t.Errorf("what is kept: got\n%s", m)
	}
	other := newSignedQuery(r, "192.0.2.2:53")
	for slotOf(&other.request) == slotOf(&flood.request) {
		other.request.Client = netip.AddrPortFrom(other.request.Client.Addr().Next(), 53)
	}
	other.request.Now = flood.request.Now
	if m := other.ask("other.prod.svc.cluster.local.", dns.TypeA); m.Rcode != dns.RcodeSuccess {
		t.Errorf("another client: got\n%s", m)
	}
	flood.request.Now = flood.request.Now.Add(purseSaved)
	if m := flood.ask("later.prod.svc.cluster.local.", dns.TypeA); m.Rcode != dns.RcodeSuccess {
		t.Errorf("later: got\n%s", m)
	}
	c := r.blocks[0].dnssec.count()
	if c.Refused != 1 || c.Hits == 0 || c.Misses == 0 || c.Entries > 1000+2*signatureShards {
		t.Errorf("counts are %+v", c)
	}
}

// TestDnssecRenews: signatures are made anew before they expire, and not before.
func TestDnssecRenews(t *testing.T) {
	r, _, key := signedSample(t)
	q := newSignedQuery(r, "192.0.2.1:53")
	began := q.request.Now
	expires := func() uint32 {
		m := q.ask(signedName, dns.TypeA)
		rrsig := m.Answer[len(m.Answer)-1].(*dns.RRSIG)
		if err := rrsig.Verify(key, m.Answer[:1]); err != nil || !rrsig.ValidityPeriod(q.request.Now) {
			t.Errorf("%v in\n%s", err, m)
		}
		return rrsig.Expiration
	}
	first := expires()
	for _, c := range []struct {
		after time.Duration
		same  bool
	}{{time.Hour, true}, {signedFor - signedRest - time.Minute, true}, {signedFor - signedRest + time.Minute, false}} {
		q.request.Now = began.Add(c.after)
		if got := expires(); (got == first) != c.same {
			t.Errorf("after %v: expires at %d, at first %d", c.after, got, first)
		}
	}
}

// TestDnssecKeysFollow: a link to other keys is followed, as of projected secrets; bad keys leave the old ones.
func TestDnssecKeysFollow(t *testing.T) {
	dir := t.TempDir()
	link := func(to string) {
		t.Helper()
		next := filepath.Join(dir, "next")
		if err := os.Symlink(to, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b", "bad"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a, b := newKey(t, filepath.Join(dir, "a", "key")), newKey(t, filepath.Join(dir, "b", "key"))
	writeFile(t, filepath.Join(dir, "bad", "key.key"), a.String())
	writeFile(t, filepath.Join(dir, "bad", "key.private"), string(must(os.ReadFile(filepath.Join(dir, "b", "key.private")))))
	link("a")
	var log bytes.Buffer
	d := must(newDnssec(Dnssec{Zones: []string{"cluster.local."}, Keys: []string{filepath.Join(dir, "data", "key")}, Capacity: 1},
		slog.New(slog.NewTextHandler(&log, nil))))
	for _, c := range []struct {
		link string
		tag  uint16
		bad  uint64
	}{{"", a.KeyTag(), 0}, {"b", b.KeyTag(), 0}, {"bad", b.KeyTag(), 1}, {"", b.KeyTag(), 1}, {"nowhere", b.KeyTag(), 2}, {"a", a.KeyTag(), 2}} {
		if c.link != "" {
			link(c.link)
		}
		d.load()
		if got, bad := d.ring.Load().keys[0].tag, d.count().Failed; got != c.tag || bad != c.bad {
			t.Errorf("%q: the key is %d with %d failures, want %d with %d\n%s", c.link, got, bad, c.tag, c.bad, &log)
		}
	}
}

// TestDnssecHitAllocatesNothing: an answer whose signatures are kept, also a denial, allocates nothing.
func TestDnssecHitAllocatesNothing(t *testing.T) {
	r, _, _ := signedSample(t)
	for _, c := range []struct {
		name  string
		qtype uint16
	}{{signedName, dns.TypeA}, {signedName, dns.TypeAAAA}, {"_http._tcp." + signedName, dns.TypeSRV}, {"no.prod.svc.cluster.local.", dns.TypeA}} {
		q, packet := newSignedQuery(r, "192.0.2.1:53"), signedPacket(c.name, c.qtype)
		if n := testing.AllocsPerRun(200, func() { r.Answer(&q.request, packet, q.buf) }); n > 0 {
			t.Errorf("%s %s: %v allocations", c.name, dns.TypeToString[c.qtype], n)
		}
	}
}

func BenchmarkDnssec(b *testing.B) {
	r, _, _ := signedSample(b)
	for _, name := range []string{signedName, "no.prod.svc.cluster.local."} {
		b.Run(name, func(b *testing.B) {
			q, packet := newSignedQuery(r, "192.0.2.1:53"), signedPacket(name, dns.TypeA)
			for b.Loop() {
				r.Answer(&q.request, packet, q.buf)
			}
		})
	}
	b.Run("new", func(b *testing.B) {
		q := newSignedQuery(r, "192.0.2.1:53")
		for i := 0; b.Loop(); i++ {
			q.request.Now = q.request.Now.Add(time.Millisecond)
			r.Answer(&q.request, signedPacket(fmt.Sprintf("n%d.prod.svc.cluster.local.", i), dns.TypeA), q.buf)
		}
	})
}

// FuzzSuccessor: the next name of an NSEC record is a name, comes behind the first in the order of DNSSEC (RFC 4034
// section 6.1), or is the root, behind the last name of all.
func FuzzSuccessor(f *testing.F) {
	for _, name := range []string{"\x00", "\x03www\x07example\x00", "\x01\xff\x00", "\x01@\x00"} {
		f.Add([]byte(name), true)
	}
	long := bytes.Repeat([]byte("\x3f"+strings.Repeat("\xff", 63)), 3)
	f.Add(append(append(long, 61), strings.Repeat("\xff", 61)+"\x00"...), false)
	f.Add(append(append(bytes.Clone(long), 60), strings.Repeat("a", 60)+"\x00"...), false)
	f.Fuzz(func(t *testing.T, data []byte, beside bool) {
		var name, next wire.QName
		if _, ok := name.Set(data); !ok {
			return
		}
		got := appendSuccessor(nil, name.Name(), beside)
		if size, ok := next.Set(got); !ok || size != len(got) || !bytes.Equal(got, next.Name()) {
			t.Fatalf("%q leads to %q, which is no name in lower case", name.Name(), got)
		}
		if len(got) > 1 && canonicalOrder(&name, &next) >= 0 {
			t.Errorf("%q leads back to %q", name.Name(), got)
		}
		if beside && len(got) > 1 && name.Labels() > 0 && wire.Within(got, name.Name()) {
			t.Errorf("%q leads below itself, to %q", name.Name(), got)
		}
	})
}

// canonicalOrder compares names from the right, label by label.
func canonicalOrder(a, b *wire.QName) int {
	for i := 1; i <= a.Labels() && i <= b.Labels(); i++ {
		if c := bytes.Compare(a.Label(a.Labels()-i), b.Label(b.Labels()-i)); c != 0 {
			return c
		}
	}
	return a.Labels() - b.Labels()
}

// FuzzReadKey: no file of a key makes a panic, here or at the first signature.
func FuzzReadKey(f *testing.F) {
	base := filepath.Join(f.TempDir(), "key")
	newKey(f, base)
	public, private := must(os.ReadFile(base+".key")), must(os.ReadFile(base+".private"))
	f.Add(public, private)
	f.Add(bytes.Replace(public, []byte(" 13 "), []byte(" 8 "), 1), bytes.Replace(private, []byte(" 13 "), []byte(" 8 "), 1))
	f.Add(bytes.Replace(public, []byte(" 13 "), []byte(" 15 "), 1), bytes.Replace(private, []byte(" 13 "), []byte(" 15 "), 1))
	f.Fuzz(func(t *testing.T, public, private []byte) {
		if k, err := ReadKey(public, private); err == nil {
			if _, err := newKeyring([]*Key{k}, 1); err != nil {
				t.Error(err)
			}
		}
	})
}
