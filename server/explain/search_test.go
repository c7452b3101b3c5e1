package explain

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones"
)

// TestSearchChangesNothing: whatever the names of a search list have, a stub resolver ends with the same addresses with
// search as without it, and asks no more. Where there is an address, two questions find it.
func TestSearchChangesNothing(t *testing.T) {
	index := searchCluster(t)
	random := rand.New(rand.NewPCG(1, 11))
	asked := [2]int{}
	for step := range 40 {
		names := searchNames(random)
		plain, search := searchResolver(t, index, names, false), searchResolver(t, index, names, true)
		for _, name := range []string{"www.example.com", "api.dev", "none.dev", "api.dev.svc", "api.dev.svc.cluster.local", "agent-0.agents", "agent-9.agents"} {
			for _, libc := range Libcs {
				stub := Pod(libc, "prod", "cluster.local")
				stub.Search = append(stub.Search, "corp.example")
				q := Question{Name: name, Types: []uint16{dns.TypeA, dns.TypeAAAA}, Stub: stub, Zone: "cluster.local"}
				client := netip.MustParseAddr("10.244.0.1")
				q.Ask = InProcess(plain, client)
				before := Explain(t.Context(), q)
				q.Ask = InProcess(search, client)
				after := Explain(t.Context(), q)
				asked[0] += len(before.Steps)
				asked[1] += len(after.Steps)
				if got, want := outcome(after), outcome(before); got != want {
					t.Fatalf("step %d, %s asks for %s: %s, and without search %s; the world is\n%s\nwith: %+v\nwithout: %+v",
						step, libc, name, got, want, strings.Join(names.text, "\n"), after.Steps, before.Steps)
				}
				if len(after.Steps) > len(before.Steps) {
					t.Errorf("step %d, %s asks for %s: %d questions, and without search %d", step, libc, name, len(after.Steps), len(before.Steps))
				}
			}
		}
	}
	if asked[1]*4 > asked[0]*3 {
		t.Errorf("%d questions, and without search %d", asked[1], asked[0])
	}
}

// outcome is the addresses that a stub ends with.
func outcome(r *Report) string {
	if !r.Resolves {
		return "none"
	}
	decisive := r.Steps[r.Decisive].Name
	var all []string
	for _, s := range r.Steps {
		if s.Name != decisive {
			continue
		}
		for _, record := range s.Records {
			if words := strings.Fields(record); words[1] != "CNAME" {
				all = append(all, words[2])
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// searchCluster has service api of dev, and one of prod whose endpoint asks.
func searchCluster(t *testing.T) *zones.Index {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		var b zones.Builder
		set := func() {
			records, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			tx.SetService(records)
		}
		tx.SetNamespace("prod", true)
		tx.SetNamespace("dev", true)
		b.Start("dev", "api")
		b.Address(b.Name(""), netip.MustParseAddr("10.96.0.1"))
		set()
		b.Start("prod", "agents")
		host := b.Name("agent-0")
		b.Address(host, netip.MustParseAddr("10.244.0.1"))
		b.Reverse(host, false)
		set()
		tx.SetSynced(zones.ServiceKinds | zones.Nodes)
	})
	return index
}

// outside is what names outside of the cluster have, as templates.
type outside struct {
	templates []resolver.Template
	text      []string
}

func (o *outside) add(t resolver.Template) {
	o.templates = append(o.templates, t)
	o.text = append(o.text, fmt.Sprint(t.Match, dns.TypeToString[t.Type], t.Answer, dns.RcodeToString[int(t.Rcode)]))
}

// searchNames gives each name, in the domain of the hosts and bare, something for either type: records, none, a denial, a
// failure, a refusal, or an alias. A denial is of the whole name, but for some servers that have no AAAA.
func searchNames(random *rand.Rand) *outside {
	o := &outside{}
	for i, name := range []string{"www.example.com", "api.dev", "none.dev", "api.dev.svc", "agent-0.agents", "agent-9.agents"} {
		for j, full := range []string{name + ".corp.example.", name + "."} {
			if random.IntN(3) == 0 {
				continue // denied
			}
			exists := false
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				m := resolver.Template{Zones: []string{"."}, Class: dns.ClassINET, Type: qtype,
					Match: []string{"^" + regexp.QuoteMeta(full) + "$"}, Fallthrough: resolver.Fallthrough{Zones: []string{"."}}}
				switch kind := random.IntN(8); {
				case kind < 3 && qtype == dns.TypeA:
					m.Answer, exists = []string{fmt.Sprintf("%s 60 IN A 192.0.2.%d", full, 10*i+j)}, true
				case kind < 3:
					m.Answer = []string{fmt.Sprintf("%s 60 IN AAAA 2001:db8::%d", full, 10*i+j)}
				case kind == 3 && qtype == dns.TypeAAAA && exists:
					m.Rcode = dns.RcodeNameError
				case kind == 4:
					m.Rcode, m.Error = dns.RcodeServerFailure, nil
				case kind == 5:
					m.Rcode = dns.RcodeRefused
				case kind == 6:
					m.Answer = []string{full + " 60 IN CNAME target.example."}
				default:
					m.Authority, exists = []string{"example. 60 IN SOA ns.example. host.example. 1 60 60 60 60"}, true
				}
				o.add(m)
			}
		}
	}
	o.add(resolver.Template{Zones: []string{"com.", "dev.", "svc.", "agents.", "example."}, Class: dns.ClassINET, Type: dns.TypeANY,
		Rcode: dns.RcodeNameError, Authority: []string{"example. 60 IN SOA ns.example. host.example. 1 60 60 60 60"}})
	return o
}

func searchResolver(t *testing.T, index *zones.Index, names *outside, search bool) *resolver.Resolver {
	t.Helper()
	block := resolver.Block{Zones: []string{"."}, Templates: names.templates,
		Kubernetes: []resolver.Kubernetes{{Zones: []string{"cluster.local."}, Index: index}}}
	if search {
		block.Search = &resolver.Search{Zones: []string{"."}, Domains: []string{"corp.example."}, Least: 1, Most: 4}
	}
	r, err := resolver.New(resolver.Options{Blocks: []resolver.Block{block}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCompleted: the report says that the server has gone through the search list, and how far, and whether there is another
// name that may have been meant.
func TestCompleted(t *testing.T) {
	api := &outside{}
	api.add(resolver.Template{Zones: []string{"dev."}, Class: dns.ClassINET, Type: dns.TypeA, Match: []string{"^api[.]dev[.]$"},
		Answer: []string{"api.dev. 60 IN A 192.0.2.1"}})
	r := searchResolver(t, searchCluster(t), &outside{}, true)
	q := Question{Name: "api.dev", Types: []uint16{dns.TypeA}, Stub: Pod(Musl, "prod", "cluster.local"), Zone: "cluster.local",
		Ask: InProcess(r, netip.MustParseAddr("10.244.0.1")), Toplevel: func(label string) bool { return label == "dev" }}
	if report := Explain(t.Context(), q); !strings.HasSuffix(report.Sentence, "(directive search or autopath).") {
		t.Errorf("where there is no api.dev.: %s", report.Sentence)
	}
	r = searchResolver(t, searchCluster(t), api, true)
	for qtype, want := range map[uint16]string{
		dns.TypeA: "api.dev resolves, as api.dev.svc.cluster.local: the server has gone through the search list and found it (directive search or autopath). " +
			"The search list has led there, not to api.dev. itself: namespace dev is called like a top-level domain (option toplevel).",
		dns.TypeAAAA: "The server has gone through the search list, as far as api.dev.svc.cluster.local. " +
			"api.dev.svc.cluster.local exists, and has no records of this type.",
	} {
		q := Question{Name: "api.dev", Types: []uint16{qtype}, Stub: Pod(Musl, "prod", "cluster.local"), Zone: "cluster.local",
			Ask: InProcess(r, netip.MustParseAddr("10.244.0.1")), Toplevel: func(label string) bool { return label == "dev" }}
		report := Explain(t.Context(), q)
		if report.Sentence != want || len(report.Steps) != 1 || report.Steps[0].Completed != "api.dev.svc.cluster.local" {
			t.Errorf("%s: %+v", dns.TypeToString[qtype], report)
		}
	}
}

// TestOwnAliases: an alias of a service is no work of a search list.
func TestOwnAliases(t *testing.T) {
	for name, record := range map[string]string{
		"web.prod.svc.cluster.local":     "web.prod.svc.cluster.local. CNAME web.example.com.",
		"web.example.com":                "web.example.com. CNAME web.example.com.",
		"www.web.prod.svc.cluster.local": "www.web.prod.svc.cluster.local. CNAME www.example.com.",
	} {
		a := Answer{Records: []string{record}}
		if got := a.completed(name, "cluster.local"); got != "" {
			t.Errorf("%s: %q", record, got)
		}
	}
}
