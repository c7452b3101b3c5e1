package explain

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones"
)

// TestNames: the names that each stub resolver asks for, in its order.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		libc Libc
		name string
		want string
	}{
		{Glibc, "web", "web.dev.svc.cluster.local. web.svc.cluster.local. web.cluster.local. web."},
		{Glibc, "web.", "web."},
		{Glibc, "a.b.c.d.e.f", "a.b.c.d.e.f. a.b.c.d.e.f.dev.svc.cluster.local. a.b.c.d.e.f.svc.cluster.local. a.b.c.d.e.f.cluster.local."},
		{Musl, "web.prod", "web.prod.dev.svc.cluster.local. web.prod.svc.cluster.local. web.prod.cluster.local. web.prod."},
		{Musl, "a.b.c.d.e.f", "a.b.c.d.e.f."},
		{Go, "a.b.c.d.e.f", "a.b.c.d.e.f. a.b.c.d.e.f.dev.svc.cluster.local. a.b.c.d.e.f.svc.cluster.local. a.b.c.d.e.f.cluster.local."},
	} {
		if got := strings.Join(Pod(test.libc, "dev", "cluster.local.").Names(test.name), " "); got != test.want {
			t.Errorf("%s %s: got %s", test.libc, test.name, got)
		}
	}
}

// answers is an Asker that knows some names: NODATA, or a reason for NXDOMAIN, or addresses.
func answers(known map[string]string) Asker {
	return func(_ context.Context, name string, qtype uint16) (a Answer) {
		word, ok := known[strings.TrimSuffix(name, ".")]
		switch {
		case !ok:
			a.Rcode = "NXDOMAIN"
		case word == "NODATA" || qtype == dns.TypeAAAA:
			a.Rcode = "NOERROR"
		case strings.Contains(word, " "):
			a.Rcode, a.Reason = "NXDOMAIN", word
		default:
			a.Rcode, a.Records, a.found = "NOERROR", []string{name + " A " + word}, true
		}
		return a
	}
}

// TestLibcsDiffer: NODATA ends the search of musl, and of no other.
func TestLibcsDiffer(t *testing.T) {
	known := map[string]string{"dns.cluster.local": "NODATA", "dns": "192.0.2.1"}
	for libc, resolves := range map[Libc]bool{Glibc: true, Go: true, Musl: false} {
		q := Question{Name: "dns", Types: []uint16{dns.TypeA, dns.TypeAAAA}, Stub: Pod(libc, "dev", "cluster.local"), Zone: "cluster.local",
			Ask: answers(known)}
		r := Explain(t.Context(), q)
		if r.Resolves != resolves {
			t.Errorf("%s: resolves: %v: %s", libc, r.Resolves, r.Sentence)
		}
		if want := "dns.cluster.local"; !resolves && r.Steps[r.Decisive].Name != want {
			t.Errorf("%s: decisive is %s, want %s", libc, r.Steps[r.Decisive].Name, want)
		}
	}
}

// TestDecisive: of several questions the one is told of that was meant.
func TestDecisive(t *testing.T) {
	reasons := map[string]string{
		"web.prod.dev.svc.cluster.local":        "service dev/prod: not found",
		"web.prod.svc.cluster.local":            "service prod/web: 0 of 2 endpoints ready",
		"api.prod.dev.svc.cluster.local":        "service dev/prod: not found",
		"api.prod.svc.cluster.local":            "service prod/api: not found",
		"www.example.com.dev.svc.cluster.local": "service dev/com: not found",
		"www.example.com":                       "192.0.2.1:53 does not answer in time (upstream)",
	}
	for name, want := range map[string]string{
		"web.prod":        "web.prod.svc.cluster.local: Service prod/web is headless, and none of its endpoints is ready.",
		"api.prod":        "api.prod.svc.cluster.local: There is no service api in namespace prod.",
		"www.example.com": "www.example.com: The name is not of the cluster, and an upstream failed: 192.0.2.1:53 does not answer in time (upstream).",
		"www.example.org": "www.example.org: www.example.org does not exist. The server gives no reason, as upstreams and other servers do.",
	} {
		q := Question{Name: name, Types: []uint16{dns.TypeA}, Stub: Pod(Glibc, "dev", "cluster.local"), From: "dev", Zone: "cluster.local",
			Ask: answers(reasons)}
		r := Explain(t.Context(), q)
		if got := r.Steps[r.Decisive].Name + ": " + r.Sentence; got != want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// TestDecisiveOfEqual: of questions with one reason the one in the form that was written decides.
func TestDecisiveOfEqual(t *testing.T) {
	ask := func(context.Context, string, uint16) Answer {
		return Answer{Rcode: "SERVFAIL", Reason: "the cluster has not been read yet: API server 10.96.0.1:443: 403"}
	}
	r := Explain(t.Context(), Question{Name: "web.prod", Types: []uint16{dns.TypeA}, Stub: Pod(Glibc, "dev", "cluster.local"), Zone: "cluster.local", Ask: ask})
	if got := r.Steps[r.Decisive].Name; got != "web.prod.svc.cluster.local" ||
		r.Sentence != "The server has not read the cluster yet: API server 10.96.0.1:443: 403." {
		t.Errorf("%s: %s", got, r.Sentence)
	}
}

// TestTypeFix: what is said of a type without records is about that type.
func TestTypeFix(t *testing.T) {
	for qtype, want := range map[uint16]string{dns.TypeA: "A needs IPv4", dns.TypeAAAA: "AAAA needs IPv6", dns.TypeSRV: "SRV needs ports", dns.TypeMX: "Names of a cluster have"} {
		ask := func(context.Context, string, uint16) Answer {
			return Answer{Rcode: "NOERROR", Reason: "the name exists, without records of this type"}
		}
		r := Explain(t.Context(), Question{Name: "web.prod.svc.cluster.local.", Types: []uint16{qtype}, Stub: Pod(Glibc, "dev", "cluster.local"), Zone: "cluster.local", Ask: ask})
		if !strings.HasPrefix(r.Fix, want) {
			t.Errorf("%d: %s", qtype, r.Fix)
		}
	}
}

// TestHandler: what is no name, type or client is 400 with a sentence, and all else a report.
func TestHandler(t *testing.T) {
	as := func(client netip.Addr) Asker { return answers(map[string]string{"who": client.String()}) }
	index := zones.NewIndex()
	var b zones.Builder
	b.Start("prod", "db")
	host := b.Name("db-0")
	b.Address(host, netip.MustParseAddr("10.244.0.9"))
	b.Reverse(host, false)
	records, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	pod := zones.LivePod{Namespace: "dev", Addr: netip.MustParseAddr("10.244.0.7"), Details: &zones.PodDetails{Name: "shell"}}
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) { tx.SetService(records); tx.AddPod(pod) })
	handler := Handler(func() Base {
		return Base{Question: Question{Zone: "cluster.local", Asked: "this server", Index: index}, As: as}
	})
	for query, want := range map[string]struct {
		status int
		says   string
	}{
		"name=web&from=dev/web-0":                     {200, `The address of pod \"web-0\" is not known here, so rules of acl and view for it, and search, do not show`},
		"name=web&from=dev":                           {200, "Asked as 127.0.0.1 over TCP, by the first listener. Rules of acl and view for the pod, and search, do not show"},
		"name=who&from=dev/shell":                     {200, `Asked as 10.244.0.7 over TCP, by the first listener. Its dnsPolicy`},
		"name=who.&from=dev/shell":                    {200, `"who. A 10.244.0.7"`},
		"name=who.&from=prod/db-0":                    {200, `"who. A 10.244.0.9"`},
		"name=who.&client=192.0.2.1":                  {200, `"who. A 192.0.2.1"`},
		"name=who.&client=::ffff:192.0.2.1":           {200, `"who. A 192.0.2.1"`},
		"name=who.&client=fe80::1%25eth0":             {200, `"who. A fe80::1"`},
		"name=who.&client=192.0.2.1&from=dev/shell":   {200, `"who. A 192.0.2.1"`},
		"name=%3Cscript%3E":                           {200, `\u003cscript\u003e`},
		"name=web&client=dev/shell":                   {400, `client: \"dev/shell\" is not an IP address`},
		"name=web&client=10.0.0.0/8":                  {400, "is not an IP address"},
		"name=web&client=" + strings.Repeat("1", 500): {400, "is not an IP address"},
		"name=web&from=dev/":                          {400, `from: \"dev/\" is not NAMESPACE or NAMESPACE/POD`},
		"name=web&from=/shell":                        {400, "is not NAMESPACE or NAMESPACE/POD"},
		"name=web&from=a/b/c":                         {400, "is not NAMESPACE or NAMESPACE/POD"},
		"name=" + strings.Repeat("a.", 150):           {400, "a name of 300 octets"},
		"name=" + strings.Repeat("a", 64):             {400, "is not a domain name"},
		"":                                            {400, "a name is needed"},
		"name=a&type=NONE":                            {400, "is not a type of records"},
		"name=a&type=axfr":                            {400, "is no type that a stub resolver asks for"},
		"name=a&libc=uclibc":                          {400, "wants glibc, musl or go"},
		"name=a&from=" + strings.Repeat("x", 70):      {400, "is not a namespace"},
		"name=a&server=192.0.2.1":                     {400, "is no parameter; those are name, from, client, type, libc"},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/explain?"+query, nil))
		if w.Code != want.status || !strings.Contains(w.Body.String(), want.says) || !json.Valid(w.Body.Bytes()) || w.Code == 400 && w.Body.Len() > 300 {
			t.Errorf("%.40s: %d %s", query, w.Code, w.Body)
		}
	}
}

// TestWholeSentences: no sentence and no fix has an empty word, whatever the name lacks.
func TestWholeSentences(t *testing.T) {
	const zone = "cluster.local"
	reasons := []string{"", "namespace nope: not found", "namespace nope: a pod's name is its address with dashes", "service prod/web: not found",
		"a sentence.", "two  spaces"}
	for _, v := range verdicts {
		reasons = append(reasons, v.part)
	}
	for _, name := range []string{"mysql.svc.cluster.local.", "10-0-0-1.nope.pod.cluster.local.", "x.pod.cluster.local.", "pod.cluster.local.",
		"svc.cluster.local.", "cluster.local.", "web.prod.svc.cluster.local.", "a.b.web.prod.svc.cluster.local.", "."} {
		for _, reason := range reasons {
			ask := func(context.Context, string, uint16) Answer { return Answer{Rcode: "NXDOMAIN", Reason: reason} }
			r := Explain(t.Context(), Question{Name: name, Types: []uint16{dns.TypeA}, Stub: Pod(Glibc, "dev", zone), Zone: zone, Ask: ask})
			for _, text := range []string{r.Sentence, r.Fix} {
				text = strings.ReplaceAll(text, "forward . ", "")
				if r.Sentence == "" || strings.Contains(text, "  ") || strings.Contains(text, " .") || strings.Contains(text, "..") {
					t.Errorf("%s, %q: %q, %q", name, reason, r.Sentence, r.Fix)
				}
			}
			if reason == "namespace nope: not found" && r.Sentence != "There is no namespace nope." && !strings.Contains(name, "prod") {
				t.Errorf("%s: %q", name, r.Sentence)
			}
		}
	}
}

// TestUpstreamSilent: a domain whose servers are silent is no failure of an upstream.
func TestUpstreamSilent(t *testing.T) {
	v := verdictOf(&Answer{Reason: "nothing comes back from upstream for names below example.com."})
	if !strings.Contains(v.sentence, "its servers do not answer") {
		t.Error(v.sentence)
	}
}

// TestReasonIsClean: the text of another server does nothing to a terminal.
func TestReasonIsClean(t *testing.T) {
	m := new(dns.Msg).SetEdns0(1232, false)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{ExtraText: "a\nb\x1b[2J"}}
	var a Answer
	if a.read(m); a.Reason != "a?b?[2J" {
		t.Errorf("%q", a.Reason)
	}
}

// TestPrintIsClean: so does a report of another server's page.
func TestPrintIsClean(t *testing.T) {
	var out strings.Builder
	r := Report{Name: "a\x1b[2J", Sentence: "b\x1b[2J", Fix: "c\x1b[2J", Note: "d\x1b[2J", Steps: []Step{{Name: "bücher\x1b[2J", Type: "A"}}}
	if r.Print(&out); strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), "b?[2J\n") || !strings.Contains(out.String(), "bücher?[2J") {
		t.Errorf("%q", &out)
	}
}

// FuzzVerdict: whatever a server says, there is a sentence.
func FuzzVerdict(f *testing.F) {
	f.Add("web.prod", "service prod/web: 0 of 2 endpoints ready")
	f.Add("a.b.c.d.e.f.", "NAME REASON")
	f.Fuzz(func(t *testing.T, name, reason string) {
		if _, err := CheckName(name); err != nil {
			return // it is refused before anything is asked
		}
		ask := func(context.Context, string, uint16) Answer { return Answer{Rcode: "NXDOMAIN", Reason: reason} }
		q := Question{Name: name, Types: []uint16{dns.TypeA}, Stub: Pod(Musl, "dev", "cluster.local"), Zone: "cluster.local", Ask: ask}
		if r := Explain(t.Context(), q); r.Sentence == "" || r.Decisive < 0 || r.Decisive >= len(r.Steps) {
			t.Errorf("%q, %q: %+v", name, reason, r)
		}
	})
}

// TestKeptFromClient: what visibility keeps from a client does not exist for it, and people are told why.
func TestKeptFromClient(t *testing.T) {
	index := searchCluster(t)
	r, err := resolver.New(resolver.Options{Blocks: []resolver.Block{{Zones: []string{"."}, Kubernetes: []resolver.Kubernetes{{
		Zones: []string{"cluster.local."}, Index: index, Visibility: &resolver.Visibility{}}}}}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	q := Question{Name: "api.dev.svc.cluster.local", Types: []uint16{dns.TypeA}, Stub: Pod("glibc", "prod", "cluster.local"), Zone: "cluster.local",
		Index: index, Ask: InProcess(r, netip.MustParseAddr("10.244.0.1"))}
	report := Explain(t.Context(), q)
	if want := "Namespace dev is kept from this client."; report.Resolves || report.Sentence != want {
		t.Errorf("%q, want %q", report.Sentence, want)
	}
	for _, refused := range []bool{true, false} { // one that nobody sees is not kept from this client alone
		index.Update(time.Unix(2, 0), func(tx *zones.Tx) { tx.SetRefused("com", refused) })
		q.Name = "google.com.svc.cluster.local"
		if report := Explain(t.Context(), q); report.Resolves || strings.Contains(report.Sentence, "kept from this client") {
			t.Errorf("refused: %v: %q", refused, report.Sentence)
		}
	}
}
