package resolver

import (
	"fmt"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// TestSubnetsDoNotShareAnswers: with `rewrite edns0 subnet` what is cached for one subnet is not for another, a flight of
// one is not joined by another, and an answer that has become old is fetched again for its own subnet.
func TestSubnetsDoNotShareAnswers(t *testing.T) {
	up := serve(t, func(q, reply *dns.Msg, _ bool) *dns.Msg {
		subnet := q.IsEdns0().Option[0].(*dns.EDNS0_SUBNET)
		reply.Answer = []dns.RR{must(dns.NewRR(fmt.Sprintf("%s 60 IN TXT %s", q.Question[0].Name, subnet)))}
		return reply
	})
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232, Cache: &Cache{ServeStale: time.Hour},
		Rewrites: []Rewrite{{Field: RewriteEDNS0, EDNS: &RewriteEDNS{Code: optionSubnet, Subnet: [2]int{24, 56}}}},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: up.addr}}}}})
	ask := func(client string, now time.Time) string {
		request := asking(t, "www.example.org. TXT", now)
		request.Client = netip.AddrPortFrom(netip.MustParseAddr(client), 4711)
		reply, _ := r.Respond(t.Context(), request, request.Query.Packet, make([]byte, 0, 1232))
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil {
			t.Fatal(err)
		}
		return m.Answer[0].(*dns.TXT).Txt[0]
	}
	now := time.Now()
	for _, test := range []struct{ client, subnet string }{
		{"198.51.100.7", "198.51.100.0/24/0"}, {"198.51.101.7", "198.51.101.0/24/0"},
		{"198.51.100.200", "198.51.100.0/24/0"}, {"::ffff:198.51.101.8", "198.51.101.0/24/0"},
		{"2001:db8:1:2ff::1", "[2001:db8:1:200::]/56/0"}, {"2001:db8:1:2aa::2", "[2001:db8:1:200::]/56/0"},
	} {
		if got := ask(test.client, now); got != test.subnet {
			t.Errorf("%s got the answer for %s", test.client, got)
		}
	}
	if n := up.udp.Load(); n != 3 {
		t.Errorf("%d upstream queries for three subnets", n)
	}
	if got := ask("198.51.101.9", now.Add(20*time.Minute)); got != "198.51.101.0/24/0" {
		t.Errorf("the stale answer is for %s", got)
	}
	until(t, func() bool { return up.udp.Load() == 4 })
	if subnet := up.last().IsEdns0().Option[0].String(); subnet != "198.51.101.0/24/0" {
		t.Errorf("the answer was fetched again for %s", subnet)
	}
}

// FuzzNameFilter: a name that a rule matches passes its filter. The name has no octets that text writes behind a
// backslash.
func FuzzNameFilter(f *testing.F) {
	f.Add("a.example", "a.example.", uint8(MatchExact))
	f.Add(".svc.cluster.local", "web.prod.svc.cluster.local.", uint8(MatchSuffix))
	f.Add("ter.local", "web.cluster.local.", uint8(MatchSuffix))
	f.Add("web.pro", "web.pro.x.", uint8(MatchPrefix))
	f.Add("mid.", "a.mid.b.", uint8(MatchSubstring))
	f.Add(`^(.*)-(x)\.apps\.[a-z]+\.$`, "a-x.apps.lab.", uint8(MatchRegexp))
	plain := regexp.MustCompile(`^([a-z0-9_-]{1,63}\.)+$`)
	f.Fuzz(func(t *testing.T, from, text string, match uint8) {
		name, err := wire.ParseName(text)
		if err != nil || !plain.MatchString(text) {
			return
		}
		o := Rewrite{Match: RewriteMatch(match % 5), From: dns.CanonicalName(from)}
		if o.Match == MatchRegexp {
			o.From = from
		}
		rule, err := newRewriteRule(o)
		if err != nil {
			return
		}
		filter := rule.needs()
		if _, ok := rule.replace([]byte(text)); ok && !filter.passes(name, traitsOf(name)) {
			t.Errorf("%v %q matches %q, and its filter %+v lets it not pass", o.Match, o.From, text, filter)
		}
	})
}
