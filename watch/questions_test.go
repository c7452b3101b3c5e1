package watch

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// questions are about all names that objects of the pools may have, and about their neighbours.
type questions struct {
	list  []query
	about map[key][]query // by service; by namespace, under no name; and the others under no namespace
}

// modelQuestions makes them; each seventh begins with a capital letter.
func modelQuestions() questions {
	all := questions{about: map[key][]query{}}
	ask := func(name string, about key, types ...uint16) {
		for i, typ := range types {
			asked := name
			if (len(all.list)+i)%7 == 0 {
				asked = strings.ToUpper(name[:1]) + name[1:]
			}
			q := newQuery(asked, typ)
			all.list = append(all.list, q)
			all.about[about] = append(all.about[about], q)
		}
	}
	likely := []string{"web-0", "web-1", "tcp", "p1", "_http._tcp", "_http._udp", "_http._sctp", "_dns._tcp", "_dns._udp", "_dns._sctp",
		"a.pin._zone", "a.prefer._zone", "eu.west.pin._zone"}
	for _, text := range slices.Concat(poolV4, poolV6) {
		likely = append(likely, dashes(netip.MustParseAddr(text)))
	}
	odd := []string{"http.tcp", "_http.udp", "dns._udp", "_tcp", "_udp", "sctp", "nope", "_nope._tcp", "x.web-0", "x._http._tcp", "_zone", "zone",
		"pin._zone", "prefer._zone", "near._zone", "west.pin._zone", "eu.west.prefer._zone", "c.pin._zone", "c.prefer._zone", "a.near._zone"}
	for _, space := range append(poolSpaces, "nope") {
		about := key{space, ""}
		ask(space+"."+svcZone, about, dns.TypeA, dns.TypeSRV)
		ask(space+".pod."+clusterZone, about, dns.TypeA)
		ask("x.10-244-0-1."+space+".pod."+clusterZone, about, dns.TypeA)
		ask("web."+space+".pod."+clusterZone, about, dns.TypeA)
		for _, text := range slices.Concat(poolV4, poolV6, []string{"10.244.9.9"}) {
			ask(dashes(netip.MustParseAddr(text))+"."+space+".pod."+clusterZone, about, dns.TypeA, dns.TypeAAAA)
		}
		for _, name := range append(poolServices, "nope") {
			about, self := key{space, name}, name+"."+space+"."+svcZone
			for range 3 {
				ask(self, about, dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY, dns.TypeCNAME, dns.TypeTXT)
			}
			for _, label := range likely {
				ask(label+"."+self, about, dns.TypeA, dns.TypeSRV, dns.TypeAAAA, dns.TypeANY, dns.TypeMX)
			}
			for i, label := range odd {
				ask(label+"."+self, about, []uint16{dns.TypeA, dns.TypeSRV, dns.TypeAAAA, dns.TypeMX}[i%4], dns.TypeANY)
			}
		}
	}
	for _, name := range []string{"", "svc.", "pod.", "dns.", "ns.dns.", "x.ns.dns.", "dns-version.", "x.dns-version.", "nope.", "a.nope."} {
		ask(name+clusterZone, key{}, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeSOA)
		if name != "ns.dns." { // ANY may get the addresses of one of several servers
			ask(name+clusterZone, key{}, dns.TypeANY)
		}
	}
	for _, text := range slices.Concat(poolV4, poolV6, poolCluster4, poolCluster6, []string{"10.9.9.9", "fd00::99"}) {
		name := reverseOf(netip.MustParseAddr(text))
		ask(name, key{}, dns.TypePTR, dns.TypePTR, dns.TypeA)
		_, parent, _ := strings.Cut(name, ".")
		ask(parent, key{}, dns.TypePTR)
	}
	ask("in-addr.arpa.", key{}, dns.TypeNS, dns.TypeSOA, dns.TypePTR)
	ask("x.ip6.arpa.", key{}, dns.TypePTR)
	return all
}
