package server

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/testdata/mutants"
	"github.com/clusterdns/clusterdns/testdata/scrape"
)

// TestReloadKeepsWhatItDoesNotChange: a reload that puts another block, for another address, before the one that
// caches and forwards neither empties the cache nor sets the counters of forward and acl to zero.
func TestReloadKeepsWhatItDoesNotChange(t *testing.T) {
	upstream := newOutside(t)
	corefile := fmt.Sprintf(".:0 {\n bind 127.0.0.1\n prometheus %s\n cache 3600 Outside.test example.org\n forward . %s\n"+
		" acl {\n  block type MX\n }\n dns64 {\n  allow_ipv4\n }\n}\n", adminAddress, upstream.address)
	r := launch(t, corefile)
	here := func() netip.AddrPort { return r.listeners[anyPort].Address() }
	exchange(t, "udp", here(), "outside.test.", dns.TypeA)
	exchange(t, "udp", here(), "outside.test.", dns.TypeMX)
	want := fmt.Sprintf(`
coredns_forward_requests_total{to="%s"} 1
coredns_cache_entries{server="SERVER",type="success",view="",zones="outside.test.,example.org."} 1
coredns_acl_blocked_requests_total{server="SERVER",view="",zone="."} 1
coredns_acl_allowed_requests_total{server="SERVER",view=""} 1
coredns_dns64_requests_translated_total{server="SERVER"} 0
coredns_plugin_enabled{name="dns64",server="SERVER",view="",zone="."} 1
coredns_dns_responses_total{plugin="acl",rcode="REFUSED",server="SERVER",view="",zone="."} 1
`, upstream.address)
	want = strings.ReplaceAll(want, "SERVER", fmt.Sprintf("dns://%s", here()))
	scrape.AwaitLines(t, r.metrics, want)
	r.reload(t, "other.test:0 {\n bind 127.0.0.2\n}\n"+corefile, reloaded)
	scrape.AwaitLines(t, r.metrics, want)
	exchange(t, "udp", here(), "outside.test.", dns.TypeA)
	if n := upstream.asked.Load(); n != 1 {
		t.Errorf("the cache was lost: the upstream was asked %d times", n)
	}
}

// TestMutantsReplaceNothing: none of a thousand bad Corefiles takes the place of the one that is served, whether a
// signal or a look finds it.
func TestMutantsReplaceNothing(t *testing.T) {
	seeds, err := mutants.Read("../testdata")
	if err != nil {
		t.Fatal(err)
	}
	const good = ".:0 {\n bind 127.0.0.1\n whoami\n template IN A web.test {\n  answer \"{{ .Name }} 7 IN A 192.0.2.7\"\n }\n}\n"
	parse := func(text string) (*config.Config, error) {
		return config.Parse("Corefile", []byte(text), config.Settings{Port: 53})
	}
	first, err := parse(good)
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	p := NewProgram(log, slog.New(logs.NewHandler(log, slog.LevelInfo)))
	defer p.Close()
	if err := p.Apply(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	random := rand.New(rand.NewPCG(9, 9))
	for bad := 0; bad < 1000; {
		text := seeds.Mutate(random)
		next, err := parse(text)
		if err == nil && next.Empty == "" {
			continue // it is no mistake, and would be served
		}
		p.reload(ctx, func() (*config.Config, error) { return parse(text) }, bad%2 == 0)
		reply := exchange(t, "udp", p.Addresses()[0], "web.test.", dns.TypeA)
		if got := firstRecord(reply); got != "7 A 192.0.2.7" || p.config != first || !p.reloads.behind.Load() {
			t.Fatalf("after %d others the answer is %q with:\n%s", bad, got, text)
		}
		bad++
	}
	if n := p.reloads.failed.Load(); n < 500 {
		t.Errorf("%d reloads failed", n)
	}
}
