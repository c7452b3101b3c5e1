package object

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/zones"
)

// check returns what is wrong with an object of one kind that was read from a file: stripping keeps no such object. What
// compiles objects relies on that.
func check(o Object, kind zones.Kinds) error {
	c := checker{}
	k, version := o.About()
	c.require(len(k.Namespace) <= maxName && len(k.Name) <= maxName && len(version) <= maxName, "name")
	switch o := o.(type) {
	case *Service:
		c.service(o)
	case *Slice:
		c.slice(o)
	case *Namespace:
		c.require(ValidLabel(o.Name), "name")
	case *Pod:
		c.require(ValidLabel(o.Namespace) && o.Name != "", "name")
		c.require(o.Started >= 0 && o.Started <= 1<<32-1, "start")
		c.addrs(o.Addrs)
	case *Ingress:
		c.hosts(o.Names)
		c.outside(&o.Outside)
	case *KeptGateway:
		for i := range o.Listeners {
			c.require(o.Listeners[i].Host == "" || validHost(o.Listeners[i].Host), "hostname")
		}
		c.outside(&o.Outside)
	case *Route:
		c.require(slices.Contains(RouteKinds, o.Kind) && routeKind(o.Kind) == kind, "kind")
		c.hosts(o.Names)
	case *Records:
		for i := range o.Sets {
			c.records(&o.Sets[i])
		}
	case *Node:
		c.addrs(o.Addrs)
		for _, p := range o.Pods {
			c.require(p.IsValid() && p == p.Masked(), "podCIDR")
		}
	}
	if c.wrong != "" {
		return fmt.Errorf("%s/%s: no such %s is kept", k.Namespace, k.Name, c.wrong)
	}
	return nil
}

// routeKind is what routes of a kind are held as.
func routeKind(name string) zones.Kinds {
	for i := range Resources {
		if strings.HasSuffix(fmt.Sprintf("%T", Resources[i].Example), "."+name) {
			return Resources[i].Kind
		}
	}
	return 0
}

// maxName is how many octets Kubernetes lets a name have; a resourceVersion is a number.
const maxName = 253

// checker notes the first thing that is wrong.
type checker struct{ wrong string }

func (c *checker) require(ok bool, what string) {
	if !ok && c.wrong == "" {
		c.wrong = what
	}
}

func (c *checker) service(s *Service) {
	c.require(ValidLabel(s.Name) && ValidLabel(s.Namespace), "name")
	c.require(s.Flaw <= Rejected, "flaw")
	c.require(s.Nearest <= zones.NearestLocal, "choice of endpoints")
	c.require(s.ExternalName == "" || ValidName(s.ExternalName), "externalName")
	c.require(s.ExternalName == "" || len(s.Ports)+len(s.ClusterIPs) == 0 && !s.Headless && s.Outside == nil, "externalName")
	c.require(!s.Headless || len(s.ClusterIPs) == 0, "cluster IP")
	c.addrs(s.ClusterIPs)
	c.ports(s.Ports)
	if out := s.Outside; out != nil {
		c.require(!out.empty() || out.Balanced, "ingress")
		c.outside(out)
	}
}

func (c *checker) slice(s *Slice) {
	c.require(len(s.Service) <= maxName, "service")
	c.require(s.Cluster == "" || ValidLabel(s.Cluster), "source cluster")
	c.require(s.Unready >= 0 && s.Unready <= 1<<20, "endpoints")
	c.ports(s.Ports)
	c.endpoints(s.Endpoints, ValidLabel)
	c.endpoints(s.Clients, ValidName)
}

// endpoints checks a packed list, before anything walks it, and what it has. An empty Endpoints is none.
func (c *checker) endpoints(list Endpoints, validPod func(string) bool) {
	if !list.wellFormed() {
		c.require(false, "endpoints")
		return
	}
	for e := range list.All {
		c.addr(e.Addr)
		c.require(e.Hostname == "" || ValidLabel(e.Hostname), "hostname")
		c.require(e.Pod == "" || validPod(e.Pod), "pod")
		c.require(len(e.Zone) <= maxZone && (e.Zone == "" || ValidName(e.Zone)), "zone")
	}
}

func (c *checker) addrs(list []netip.Addr) {
	for _, addr := range list {
		c.addr(addr)
	}
}

func (c *checker) addr(addr netip.Addr) {
	c.require(addr.IsValid() && addr.Zone() == "" && !addr.Is4In6(), "address")
}

func (c *checker) ports(list []Port) {
	for i := range list {
		p := &list[i]
		c.require(p.Name == "" || ValidLabel(p.Name), "port name")
		c.require(slices.Contains([]string{"TCP", "UDP", "SCTP"}, p.Protocol), "protocol")
		c.require(p.Number == -1 || p.Number >= 1 && p.Number <= 65535, "port")
	}
}

func (c *checker) hosts(list []string) {
	for _, name := range list {
		c.require(validHost(name), "hostname")
	}
}

// validHost reports whether name is a domain name whose first label may be *.
func validHost(name string) bool { return ValidName(strings.TrimPrefix(name, "*.")) }

func (c *checker) outside(out *Outside) {
	c.addrs(out.Addrs)
	for _, host := range out.Hosts {
		c.require(ValidName(host), "ingress hostname")
	}
	c.hosts(out.Names)
}

func (c *checker) records(set *RecordSet) {
	c.require(validHost(set.DNSName), "dnsName")
	c.require(slices.Contains(recordTypes, set.RecordType), "type of records")
	c.require(set.RecordTTL >= 0 && set.RecordTTL <= mostTTL, "TTL")
	var wrong Problems
	kept := stripTargets(*set, &wrong)
	c.require(len(set.Targets) > 0 && len(wrong.List) == 0 && (set.RecordType == "TXT" || slices.Equal(kept, set.Targets)), "target")
}
