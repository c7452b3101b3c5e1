package watch

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/watch/object"
)

// questions are about all names that objects of the pools may have, and about their neighbours.
type questions struct {
	list  []query
	about map[topic][]query
}

// topic is what a question is about: a service; a namespace, under no name; and the others of a zone under no
// namespace.
type topic struct {
	zone string
	object.Key
}

// modelQuestions makes those of the zones of a cluster and a clusterset.
func modelQuestions(zones ...string) questions {
	all := questions{about: map[topic][]query{}}
	for _, zone := range zones {
		for _, space := range append(poolSpaces, "nope") {
			all.space(zone, space)
			for _, name := range append(poolServices, "nope") {
				all.service(topic{zone, object.Key{Namespace: space, Name: name}})
			}
		}
		all.zone(zone)
	}
	all.reverse()
	return all
}

// ask adds a question; each seventh begins with a capital letter.
func (all *questions) ask(name string, about topic, types ...uint16) {
	for i, typ := range types {
		asked := name
		if (len(all.list)+i)%7 == 0 {
			asked = strings.ToUpper(name[:1]) + name[1:]
		}
		q := newQuery(asked, typ)
		q.zone = about.zone
		all.list = append(all.list, q)
		all.about[about] = append(all.about[about], q)
	}
}

// space asks for names of a namespace.
func (all *questions) space(zone, space string) {
	about, pods := topic{zone, object.Key{Namespace: space, Name: ""}}, "."+space+".pod."+zone
	all.ask(space+".svc."+zone, about, dns.TypeA, dns.TypeSRV)
	all.ask(pods[1:], about, dns.TypeA)
	all.ask("x.10-244-0-1"+pods, about, dns.TypeA)
	all.ask("web"+pods, about, dns.TypeA)
	if zone == setZone { // where no pod has a name
		all.ask("10-244-0-1"+pods, about, dns.TypeA)
		return
	}
	for _, text := range slices.Concat(poolV4, poolV6, []string{"10.244.9.9"}) {
		all.ask(dashes(address(text))+pods, about, dns.TypeA, dns.TypeAAAA)
	}
}

// service asks for names of a service.
func (all *questions) service(about topic) {
	self := about.Name + "." + about.Namespace + ".svc." + about.zone
	for range 3 {
		all.ask(self, about, dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeANY, dns.TypeCNAME, dns.TypeTXT)
	}
	hosts := []string{"web-0", "web-1", "tcp", "http", "p1"}
	for _, text := range slices.Concat(poolV4, poolV6) {
		hosts = append(hosts, dashes(address(text)))
	}
	likely := []string{"_http._tcp", "_http._udp", "_http._sctp", "_dns._tcp", "_dns._udp", "_dns._sctp"}
	odd := []string{
		"http.tcp",
		"_http.udp",
		"dns._udp",
		"_tcp",
		"_udp",
		"sctp",
		"nope",
		"_nope._tcp",
		"x.web-0",
		"x._http._tcp",
		"_zone",
		"zone",
		"pin._zone",
		"prefer._zone",
		"near._zone",
		"west.pin._zone",
		"eu.west.prefer._zone",
		"c.pin._zone",
		"c.prefer._zone",
		"a.near._zone",
	}
	if about.zone == setZone {
		all.members(about, self, hosts)
		odd = slices.Concat(odd, hosts)
	} else {
		likely = slices.Concat(likely, hosts, []string{"a.pin._zone", "a.prefer._zone", "eu.west.pin._zone"})
	}
	for _, label := range likely {
		all.ask(label+"."+self, about, dns.TypeA, dns.TypeSRV, dns.TypeAAAA, dns.TypeANY, dns.TypeMX)
	}
	for i, label := range odd {
		all.ask(label+"."+self, about, []uint16{dns.TypeA, dns.TypeSRV, dns.TypeAAAA, dns.TypeMX}[i%4], dns.TypeANY)
	}
}

// members asks for the hosts of the clusters that export a service.
func (all *questions) members(about topic, self string, hosts []string) {
	for _, member := range []string{"east", "west", "tcp", "nope"} {
		all.ask(member+"."+self, about, dns.TypeA, dns.TypeANY)
		for i, host := range hosts {
			all.ask(host+"."+member+"."+self, about, dns.TypeSRV, dns.TypeA, []uint16{dns.TypeAAAA, dns.TypeANY}[i%2])
		}
	}
	all.ask("web-0.no.label."+self, about, dns.TypeA)
	all.ask("web-0.no_label."+self, about, dns.TypeA)
	all.ask("x.web-0.east."+self, about, dns.TypeA)
}

// zone asks for the names that each zone has at once, and for some that none has.
func (all *questions) zone(zone string) {
	about := topic{zone: zone}
	for _, name := range []string{
		"", "svc.", "pod.", "dns.", "ns.dns.", "x.ns.dns.", "dns-version.", "x.dns-version.", "nope.", "a.nope.",
	} {
		all.ask(name+zone, about, dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeSOA, dns.TypeANY)
	}
}

// reverse asks for what addresses are called. They have their names in the cluster zone.
func (all *questions) reverse() {
	about := topic{zone: clusterZone}
	for _, text := range slices.Concat(poolV4, poolV6, poolCluster4, poolCluster6, []string{"10.9.9.9", "fd00::99"}) {
		name := reverseOf(address(text))
		all.ask(name, about, dns.TypePTR, dns.TypePTR, dns.TypeA)
		for at := 1; strings.Count(name, ".") > 3; at++ { // what is above, up to 10.in-addr.arpa
			if _, name, _ = strings.Cut(name, "."); at%5 == 1 || strings.Count(name, ".") < 6 {
				all.ask(name, about, []uint16{dns.TypePTR, dns.TypeNS, dns.TypeA, dns.TypeANY}[at%4])
			}
		}
	}
	all.ask("in-addr.arpa.", about, dns.TypeNS, dns.TypeSOA, dns.TypePTR)
	for _, name := range []string{"x.ip6.arpa.", "e.ip6.arpa.", "9.in-addr.arpa.", "9.10.in-addr.arpa.", "010.in-addr.arpa."} {
		all.ask(name, about, dns.TypePTR)
	}
}
