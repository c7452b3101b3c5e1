package resolver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

const table = `
# a comment
192.0.2.1   www.example.org WEB   # two names
192.0.2.2	www.Example.org.
2001:db8::1 www.example.org
192.0.2.1   www.example.org
::ffff:192.0.2.9 mapped.example.org
fe80::1%eth0 zone.example.org
192.0.2.10  *.wild.example.org
192.0.2.11  a.wild.example.org
192.0.2.12  www.example.net
`

func newTestHosts(t testing.TB, options Hosts, names ...string) (*hosts, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	if options.TTL == 0 {
		options.TTL = time.Hour
	}
	if len(options.Zones) == 0 {
		options.Zones = names
	}
	h, err := newHosts(options, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return h, &log
}

// whole is the question of r's client, in h's scope.
func (h *hosts) whole(r *Request) *question {
	q := r.whole()
	q.scope = &scope{hosts: h.zones.Contains(q.name), hostsThrough: h.fallthroughs.Contains(q.name)}
	return q
}

// says is what h answers: rcode and records, or "next step".
func (h *hosts) answerOf(t testing.TB, text string) string {
	t.Helper()
	r := asking(t, text, time.Time{})
	res := h.answer(r, h.whole(r))
	if res.outcome == pass {
		return "next step"
	}
	r.finish(&r.question, &res)
	m := finished(t, r)
	out := dns.RcodeToString[m.Rcode]
	for _, rr := range m.Answer {
		if rr.Header().Name != m.Question[0].Name || rr.Header().Ttl != uint32(h.ttl) || !m.Authoritative {
			t.Errorf("%v", m)
		}
		out += " " + strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	return out
}

func TestHosts(t *testing.T) {
	inline := strings.Split(table, "\n")
	tests := []struct {
		name     string
		options  Hosts
		question string
		want     string
	}{
		{"addresses", Hosts{}, "www.example.org. A", "NOERROR 192.0.2.1 192.0.2.2"},
		{"any case", Hosts{}, "WWW.example.ORG. A", "NOERROR 192.0.2.1 192.0.2.2"},
		{"IPv6", Hosts{}, "www.example.org. AAAA", "NOERROR 2001:db8::1"},
		{"ANY is one rrset", Hosts{}, "www.example.org. ANY", "NOERROR 192.0.2.1 192.0.2.2"},
		{"an alias of the line", Hosts{}, "web. A", "NOERROR 192.0.2.1"},
		{"another family", Hosts{}, "web. AAAA", "NOERROR"},
		{"another type", Hosts{}, "web. MX", "NOERROR"},
		{"a mapped address", Hosts{}, "mapped.example.org. A", "NOERROR 192.0.2.9"},
		{"an address with a zone", Hosts{}, "zone.example.org. AAAA", "NOERROR fe80::1"},
		{"an asterisk", Hosts{}, "b.wild.example.org. A", "NOERROR 192.0.2.10"},
		{"an asterisk gives way", Hosts{}, "a.wild.example.org. A", "NOERROR 192.0.2.11"},
		{"an asterisk is one label", Hosts{}, "a.b.wild.example.org. A", "SERVFAIL"},
		{"an asterisk is not its parent", Hosts{}, "wild.example.org. A", "SERVFAIL"},
		{"PTR", Hosts{}, "1.2.0.192.in-addr.arpa. PTR", "NOERROR www.example.org. web."},
		{"PTR of IPv6", Hosts{}, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR",
			"NOERROR www.example.org."},
		{"PTR outside the zones", Hosts{Zones: []string{"example.org."}}, "1.2.0.192.in-addr.arpa. PTR",
			"NOERROR www.example.org."},
		{"PTR of a name outside the zones", Hosts{Zones: []string{"example.org."}}, "12.2.0.192.in-addr.arpa. PTR",
			"next step"},
		{"no PTR of an asterisk", Hosts{}, "10.2.0.192.in-addr.arpa. PTR", "next step"},
		{"no_reverse", Hosts{NoReverse: true}, "1.2.0.192.in-addr.arpa. PTR", "next step"},
		{"PTR at a name", Hosts{}, "web. PTR", "NOERROR"},
		{"another name", Hosts{}, "none.example.org. A", "SERVFAIL"},
		{"fallthrough", Hosts{Fallthrough: Fallthrough{Zones: []string{"."}}}, "none.example.org. A", "next step"},
		{"fallthrough elsewhere", Hosts{Fallthrough: Fallthrough{Zones: []string{"example.com."}}},
			"none.example.org. A", "SERVFAIL"},
		{"fallthrough is for names that are not there", Hosts{Fallthrough: Fallthrough{Zones: []string{"."}}},
			"web. AAAA", "NOERROR"},
		{"outside the zones", Hosts{Zones: []string{"example.org."}}, "www.example.net. A", "next step"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Inline = inline
			h, log := newTestHosts(t, tt.options, ".")
			expect(t, h.answerOf(t, tt.question), tt.want)
			expect(t, log.String(), "")
		})
	}
	h, _ := newTestHosts(t, Hosts{Inline: inline}, "example.org.")
	expect(t, h.answerOf(t, "www.example.net. A"), "next step")
	if got := h.count().Entries; got != 13 {
		t.Errorf("%d entries", got)
	}
}

func TestBadLinesOfHosts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	write(t, file, "192.0.2.1 good.example\nlocalhost 127.0.0.1\n192.0.2.300 x.example\n192.0.2.2\n"+
		"192.0.2.3 bad..name also.example "+strings.Repeat("x", 70)+".example\n", 0)
	h, log := newTestHosts(t, Hosts{File: file, Inline: []string{"192.0.2.4 inline.example", "nonsense"}}, ".")
	for _, want := range []string{
		file + `:2: \"localhost\" is not an IP address`,
		file + `:3: \"192.0.2.300\" is not an IP address`,
		file + ":4: no name after the address",
		file + `:5: \"bad..name\" is not a name`, `inline hosts entry:2: \"nonsense\" is not an IP address`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, log)
		}
	}
	for name, want := range map[string]string{
		"good": "NOERROR 192.0.2.1", "also": "NOERROR 192.0.2.3", "inline": "NOERROR 192.0.2.4",
	} {
		expect(t, h.answerOf(t, name+".example. A"), want)
	}
	_, log = newTestHosts(t, Hosts{Inline: strings.Split(strings.Repeat("x y\n", 500), "\n")}, ".")
	if n := strings.Count(log.String(), "\n"); n != maxWarnings+1 || !strings.Contains(log.String(), "count=490") {
		t.Errorf("%d lines are logged\n%s", n, log)
	}
}

func write(t testing.TB, file, content string, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	changed := noon.Add(-age)
	if err := os.Chtimes(file, changed, changed); err != nil {
		t.Fatal(err)
	}
}

func TestHostsFollowsItsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "hosts")
		options := Hosts{File: file, Reload: 5 * time.Second, Inline: []string{"192.0.2.4 inline.example"}}
		h, log := newTestHosts(t, options, ".")
		ctx, cancel := context.WithCancel(t.Context())
		go h.run(ctx)
		after := func(what, question, want string) {
			t.Helper()
			time.Sleep(5*time.Second + 1)
			synctest.Wait()
			if got := h.answerOf(t, question); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		after("no file", "inline.example. A", "NOERROR 192.0.2.4")
		write(t, file, "192.0.2.1 a.example\n", time.Minute)
		after("a file", "a.example. A", "NOERROR 192.0.2.1")
		after("a file and inline lines", "inline.example. A", "NOERROR 192.0.2.4")
		write(t, file, "192.0.2.2 a.example\n", time.Minute)
		after("the same time and size", "a.example. A", "NOERROR 192.0.2.1")
		write(t, file, "192.0.2.2 a.example\n", 0)
		after("another time", "a.example. A", "NOERROR 192.0.2.2")
		if got := h.count(); !got.Reloaded.Equal(noon) || got.Entries != 4 {
			t.Errorf("%+v", got)
		}
		write(t, file+".new", "192.0.2.3 a.example\n", 0)
		os.Remove(file)
		after("gone", "a.example. A", "NOERROR 192.0.2.2")
		after("still gone", "a.example. A", "NOERROR 192.0.2.2")
		os.Rename(file+".new", file)
		after("another file of the same time and size", "a.example. A", "NOERROR 192.0.2.3")
		if n := strings.Count(log.String(), "cannot read hosts file"); n != 2 {
			t.Errorf("%d complaints\n%s", n, log)
		}
		cancel()
		synctest.Wait()
	})
}

func TestHostsAllocatesNothing(t *testing.T) {
	h, _ := newTestHosts(t, Hosts{Inline: strings.Split(table, "\n")}, ".")
	for _, question := range []string{
		"www.example.org. A", "www.example.org. MX", "b.wild.example.org. A", "none.example.org. A",
		"1.2.0.192.in-addr.arpa. PTR",
	} {
		r := asking(t, question, time.Time{})
		r.rotate = true
		buf, q := make([]byte, 0, 1232), h.whole(r)
		if n := testing.AllocsPerRun(100, func() {
			r.Reply.Start(&r.Query, buf, 1232, 1232)
			h.answer(r, q)
			r.Reply.Finish()
		}); n != 0 {
			t.Errorf("%s: %v allocations", question, n)
		}
	}
}

// A reverse name with very many names does not make an answer without a bound, nor reading them slow.
func TestHostsThatBlockManyNames(t *testing.T) {
	var lines []string
	for i := range 50_000 {
		lines = append(lines, fmt.Sprintf("0.0.0.0 ads%d.example", i))
	}
	h, _ := newTestHosts(t, Hosts{Inline: lines}, ".")
	r := asking(t, "0.0.0.0.in-addr.arpa. PTR", time.Time{})
	h.answer(r, h.whole(r))
	if m := finished(t, r); !m.Truncated || len(m.Answer) < 20 {
		t.Errorf("cut %v, %d answers", m.Truncated, len(m.Answer))
	}
}

func FuzzHosts(f *testing.F) {
	f.Add([]byte(table), "www.example.org")
	f.Add([]byte("1.2.3.4 \\300.x . *"), "a")
	f.Fuzz(func(t *testing.T, content []byte, name string) {
		h, _ := newTestHosts(t, Hosts{Inline: []string{string(content)}}, ".")
		parsed, err := wire.ParseName(name)
		if err != nil {
			return
		}
		r := asking(t, "www.example.org. A", time.Time{})
		r.Query.QName.Set(parsed)
		h.answer(r, h.whole(r))
		var m wire.Message
		if reply := r.Reply.Finish(); len(reply) > 1232 || !m.Read(reply) {
			t.Fatalf("%x", reply)
		}
	})
}

// TestHostsManyOfOne: a name with many addresses has them all, each once and in the order of the file, and reading
// them takes memory in proportion to their number.
func TestHostsManyOfOne(t *testing.T) {
	const count = 20_000
	var file strings.Builder
	var want, want6 []byte
	for i := range count {
		v4 := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		v6 := netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})
		fmt.Fprintf(&file, "%s one.test *.wild.test\n%s one.test\n%s one.test\n", v4, v6, v4)
		want, want6 = append(want, v4.AsSlice()...), append(want6, v6.AsSlice()...)
	}
	h, _ := newTestHosts(t, Hosts{}, "test.")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h.compile([]byte(file.String()))
	runtime.ReadMemStats(&after)
	one, wild := h.table.Load().names["\x03one\x04test\x00"], h.table.Load().wild["\x04wild\x04test\x00"]
	if one.a != string(want) || one.aaaa != string(want6) || wild.a != string(want) || wild.aaaa != "" {
		t.Errorf("%d octets of A, %d of AAAA, %d of A of the wildcard", len(one.a), len(one.aaaa), len(wild.a))
	}
	if each := (after.TotalAlloc - before.TotalAlloc) / (3 * count); each > 4096 {
		t.Errorf("%d octets are allocated for each address", each)
	}
}
