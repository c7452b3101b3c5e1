package watch

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// modelServer is the server's own address, which may be an endpoint.
var modelServer = netip.MustParseAddr("10.244.0.1")

// query is a question.
type query struct {
	name   string
	typ    uint16
	packet []byte
	zone   string // of the cluster or the clusterset, where the model asks
}

func (q *query) String() string { return q.name + " " + dns.TypeToString[q.typ] }

// reverseOf is the name of the PTR records of an address.
func reverseOf(addr netip.Addr) string {
	name, _ := dns.ReverseAddr(addr.String())
	return name
}

// newQuery is a question with EDNS.
func newQuery(name string, typ uint16) query {
	m := new(dns.Msg)
	m.SetQuestion(name, typ)
	m.SetEdns0(4096, false)
	packet, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return query{name: name, typ: typ, packet: packet}
}

// client asks a resolver. It is for one goroutine.
type client struct {
	*resolver.Resolver
	request resolver.Request
	buf     []byte
}

// newClient is a client of a resolver that answers from an index of a cluster, and from one of a clusterset unless it
// is nil.
func newClient(index, set *zones.Index, pods zones.Pods) (*client, error) {
	view := resolver.Kubernetes{
		Zones: []string{clusterZone, "in-addr.arpa.", "ip6.arpa."},
		Index: index,
		TTL:   5 * time.Second,
		Pods:  pods,
		Local: []netip.Addr{modelServer},
	}
	if set != nil { // its zone comes first, and addresses have their names in the other all the same
		view.Zones = append([]string{setZone}, view.Zones...)
		view.MultiCluster, view.MultiIndex = []string{setZone}, set
	}
	r, err := resolver.New(resolver.Options{Blocks: []resolver.Block{{
		Zones: []string{"."}, Bufsize: 1232, Rotate: true, Kubernetes: []resolver.Kubernetes{view},
	}}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return (&client{Resolver: r}).another(), nil
}

// another is a client of the same resolver for another goroutine.
func (c *client) another() *client {
	return &client{Resolver: c.Resolver, buf: make([]byte, 0, wire.MaxMessage),
		request: resolver.Request{
			Client: netip.MustParseAddrPort("10.244.7.7:5353"),
			Local:  modelServer,
			Proto:  resolver.TCP,
			Now:    time.Unix(1, 0),
		}}
}

// send is the reply to a packet.
func (c *client) send(packet []byte) ([]byte, error) {
	reply, result := c.Answer(&c.request, packet, c.buf)
	if result != resolver.Send {
		return nil, fmt.Errorf("result %v", result)
	}
	return reply, nil
}

// ask is the answer in the form that compares, and the serial of its SOA, 0 without.
func (c *client) ask(q *query) (v verdict, serial uint32, err error) {
	reply, err := c.send(q.packet)
	if err != nil {
		return v, 0, err
	}
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		return v, 0, err
	}
	if m.Truncated || len(m.Question) != 1 || m.Question[0].Name != q.name {
		return v, 0, fmt.Errorf("truncated, or to another question: %v", m.Question)
	}
	if (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) && !m.Authoritative {
		return v, 0, fmt.Errorf("not authoritative")
	}
	v.rcode = m.Rcode
	v.error, v.why = reason(&m)
	for _, rr := range m.Answer {
		if t := rr.Header().Rrtype; t == dns.TypeA || t == dns.TypeAAAA {
			v.order = append(v.order, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	if v.answer, err = recordTexts(m.Answer); err != nil {
		return v, 0, err
	}
	if v.extra, err = recordTexts(m.Extra); err != nil {
		return v, 0, err
	}
	for _, rr := range m.Ns {
		soa, ok := rr.(*dns.SOA)
		if !ok || v.soa != "" || len(v.answer) == 0 && !strings.HasSuffix(q.name, soa.Hdr.Name) {
			return v, 0, fmt.Errorf("in the authority section: %v", rr)
		}
		v.soa, serial = strings.ToLower(soa.Hdr.Name), soa.Serial
	}
	return v, serial, nil
}

// reason is what the Extended DNS Error of a reply says; -1 without one.
func reason(m *dns.Msg) (code int, words string) {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				return int(e.InfoCode), e.ExtraText
			}
		}
	}
	return -1, ""
}

// recordTexts are the records of a section in the form that compares, in order.
func recordTexts(section []dns.RR) (texts []string, err error) {
	for _, rr := range section {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		text, err := recordText(rr)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts, nil
}

// recordText is a record in the form that compares. The data of an SOA is its names: the serial is looked at elsewhere.
func recordText(rr dns.RR) (string, error) {
	h := rr.Header()
	text, ttl := h.Name+" "+dns.TypeToString[h.Rrtype]+" ", uint32(5)
	forClient := false // it may be in an order that is the client's own, with TTL 0: when, TestNearestModel says
	switch rr := rr.(type) {
	case *dns.A:
		forClient, text = true, text+rr.A.String()
	case *dns.AAAA:
		forClient, text = true, text+rr.AAAA.String()
	case *dns.SRV:
		forClient, text = true, text+fmt.Sprintf("%d %d %d %s", rr.Priority, rr.Weight, rr.Port, rr.Target)
	case *dns.PTR:
		text += rr.Ptr
	case *dns.CNAME:
		text += rr.Target
	case *dns.NS:
		text += rr.Ns
	case *dns.SOA:
		text += rr.Ns + " " + rr.Mbox
	case *dns.TXT:
		text += strings.Join(rr.Txt, " ")
		ttl = 28800
	default:
		return "", fmt.Errorf("unexpected record %v", rr)
	}
	if h.Ttl != ttl && !(forClient && h.Ttl == 0) || h.Class != dns.ClassINET {
		return "", fmt.Errorf("wrong TTL or class: %v", rr)
	}
	return text, nil
}
