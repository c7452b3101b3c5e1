package resolver

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/feed"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// inA is a template for addresses of names below test. with these answers.
func inA(answers ...string) Template {
	return Template{Zones: []string{"test."}, Class: dns.ClassINET, Type: dns.TypeA, Answer: answers}
}

// templated is a resolver with these templates alone.
func templated(t testing.TB, all ...Template) *Resolver {
	return must(New(Options{Blocks: []Block{{Zones: []string{"."}, Templates: all}}}, nil,
		slog.New(slog.DiscardHandler)))
}

func askA(t testing.TB, r *Resolver, name string) *dns.Msg {
	reply, result := r.Answer(&Request{Now: time.Now()}, pack(t, name, dns.TypeA), make([]byte, 4096))
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil || result != Send {
		t.Fatal(result, err)
	}
	return m
}

// A text that fails is SERVFAIL, and counted with its text.
func TestTemplateFailures(t *testing.T) {
	for text, rr := range map[string]bool{
		`no record`:                                      true,
		``:                                               true,
		`{{ .Name }} 60 IN A 192.0.2.300`:                true,
		`{{ .Name }} 60 IN A {{ .Group.none }}`:          true,
		`. 0 CLASS1232 TYPE41 \# 0`:                      true,
		`. 0 IN TYPE250 \# 0`:                            true,
		`. 0 IN TYPE255 \# 0`:                            true,
		`$INCLUDE /etc/passwd`:                           true,
		`{{ index .Match 1 }}`:                           false,
		`{{ .Name.None }}`:                               false,
		`{{ if .None }}{{ end }}`:                        false,
		`{{ parseInt "x" 10 8 }}`:                        false,
		`{{ .Message.Pack.None }}`:                       false,
		`{{ range 1001 }}{{ end }}`:                      false,
		`{{ range 40 }}{{ range 40 }}{{ end }}{{ end }}`: false,
		`{{ range 999999999 }}{{ if false }}{{ else }}{{ continue }}{{ end }}{{ else }}x{{ end }}`: false,
		`{{ range 500 }}01234567890123456789{{ end }}`:                                             false,
		`{{ $x := .Name }}{{ range 500 }}{{ $x = print $x $x }}{{ end }}`:                          false,
		`{{ $x := "<" }}{{ range 500 }}{{ $x = html $x $x }}{{ end }}`:                             false,
		`{{ printf "%99999d" 1 }}`:                                                                 false,
		`{{ printf "%.99999f" 1.0 }}`:                                                              false,
		`{{ printf "%*d" 99999 1 }}`:                                                               false,
		`{{ printf "%[1]*[2]d" 99999 1 }}`:                                                         false,
	} {
		r := templated(t, inA(text))
		if m := askA(t, r, "a.test."); m.Rcode != dns.RcodeServerFailure || len(m.Answer) > 0 {
			t.Errorf("%q: %v", text, m)
		}
		want := []TemplateCounts{{Zone: "test.", Matches: []TemplateMatches{{"IN", "A", 1}},
			Failures: []TemplateFailures{{"IN", "A", "answer", text, rr, 1}}}}
		if diff := cmp.Diff(want, Counts([]*Resolver{r})[0][0].Templates); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// What a text may do within its bounds.
func TestTemplateTexts(t *testing.T) {
	for text, want := range map[string]string{
		`{{ .Name }} IN A 192.0.2.1`: "a.b.test.\t3600\tIN\tA\t192.0.2.1",
		`{{ range $i, $m := .Match }}{{ if eq $i 0 }}{{ $m }} 1 IN A 192.0.2.{{ len $m }}{{ end }}{{ end }}`: "a.b.test.\t1\tIN\tA\t192.0.2.9",
		`{{ .Name }} 0 IN TXT {{ range 1000 }}{{ end }}{{ printf "%03d" 7 }}`:                                "a.b.test.\t0\tIN\tTXT\t\"007\"",
		`{{ .Name }}x 0 IN A 192.0.2.1`:                      "a.b.test.x.\t0\tIN\tA\t192.0.2.1",
		`X.{{ .Name }} 0 IN CNAME {{ .Name }}`:               "x.a.b.test.\t0\tIN\tCNAME\ta.b.test.",
		"{{ .Name }}\n":                                      "",
		`{{ .Name }} 0 CH A 192.0.2.1 ; and what follows it`: "a.b.test.\t0\tCH\tA\t192.0.2.1",
	} {
		r := templated(t, inA(text))
		got := strings.TrimSuffix(lines(askA(t, r, "a.b.test.").Answer[:min(1, len(askA(t, r, "a.b.test.").Answer))]), "\n")
		if want = strings.ReplaceAll(want, "\t", " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestTemplatesAllocateNothing: neither a question that templates pass over, nor one that no pattern matches, nor one
// whose record is the same for all names but for its owner.
func TestTemplatesAllocateNothing(t *testing.T) {
	first := inA(`{{ .Name }} 60 IN A {{ index .Match 1 }}`)
	first.Match, first.Fallthrough.Zones = []string{`^x-(\d+)\.test\.$`, `\.never\.`}, []string{"."}
	mail := inA(`{{ .Name }} 60 IN MX 10 {{ .Name }}`)
	mail.Type = dns.TypeMX
	last := inA(`{{ .Name }} 60 {{ .Class }} {{ .Type }} 192.0.2.1`, `{{ .Name }} 60 IN A 192.0.2.2`)
	last.Authority = []string{`{{ .Zone }} 60 IN NS ns.{{ .Zone }}`}
	r := templated(t, first, mail, last)
	packet, buf := pack(t, "www.test.", dns.TypeA), make([]byte, 4096)
	request := &Request{Now: time.Now()}
	var reply []byte
	if n := testing.AllocsPerRun(1000, func() { reply, _ = r.Answer(request, packet, buf) }); n != 0 {
		t.Errorf("%v allocations a query", n)
	}
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	if got := lines(append(m.Answer, m.Ns...)); got != "www.test. 60 IN A 192.0.2.1\nwww.test. 60 IN A 192.0.2.2\ntest. 60 IN NS ns.test.\n" {
		t.Error(got)
	}
}

// FuzzTemplateRecord: whatever text a template makes, the record that is read of it can be read by another
// implementation, and is the one that was meant.
func FuzzTemplateRecord(f *testing.F) {
	for _, text := range []string{
		"a.test. 60 IN A 192.0.2.1", `a.test. 60 IN TXT "a b" c`, "a. SVCB 1 . alpn=h2", "a. 1 CH SOA a. b. (1 2\n3 4 5)",
		`a. 0 IN TYPE65280 \# 3 abcdef`, `\000.a. IN NAPTR 1 1 "S" "x" "" a.b.`, "$GENERATE 1-3 a$ A 1.2.3.4", "$TTL 5\na. A 1.2.3.4",
		"0 SOA", "a. 60 IN A", `a. CNAME \# 0`, `a. A \# 0`, `a. SRV \# 0`, `a. SOA \# 0`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		record, err := parseRecord(text)
		if err != nil {
			return
		}
		query := pack(t, "a.test.", dns.TypeA)
		var q wire.Query
		q.Parse(query)
		var reply wire.Reply
		reply.Start(&q, make([]byte, 0, wire.MaxMessage), wire.MaxMessage, DefaultBufsize)
		if !reply.Add(&record) {
			return
		}
		m := new(dns.Msg)
		if err := m.Unpack(reply.Finish()); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := feed.Pack(m.Answer[0])
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(record, again); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	})
}

// TestTemplateExpressionFails: an expression that fails is counted with its text, and nothing else is asked.
func TestTemplateExpressionFails(t *testing.T) {
	for _, o := range []Template{
		{Vars: []TemplateVar{{"x", "int(name())"}}}, {Vars: []TemplateVar{{"x", "'no number'"}}, Conditions: []string{"int(x) > 1"}},
	} {
		o.Zones, o.Class, o.Type, o.Fallthrough.Zones = []string{"test."}, dns.ClassINET, dns.TypeA, []string{"."}
		r := templated(t, o, inA("{{ .Name }} IN A 192.0.2.1"))
		if m := askA(t, r, "a.test."); m.Rcode != dns.RcodeServerFailure {
			t.Error(m)
		}
		want := []TemplateFailures{{Class: "IN", Type: "A", Section: "expression", Text: "int(name())", Count: 1}}
		if len(o.Conditions) > 0 {
			want[0].Text = o.Conditions[0]
		}
		counts := r.blocks[0].templates.count()
		if len(counts) != 1 || !cmp.Equal(counts[0].Failures, want) || len(counts[0].Matches) > 0 {
			t.Errorf("got %+v, want %+v", counts, want)
		}
	}
}
