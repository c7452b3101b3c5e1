package stories

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// upstream is a server on loopback that knows what a story's upstream section says.
type upstream struct {
	records []dns.RR
	added   []addition
	orders  map[string]string // rcode, "TC", "AD", "backwards" or "silence", by lower-case name, or by name and type
}

// addition is a record that stands in a section of every answer for a name.
type addition struct {
	name    string // in lower case
	section int
	rr      dns.RR
}

// Upstream starts the story's upstream, which ends with the test, and gives its address.
func (s *Story) Upstream(t testing.TB) string {
	t.Helper()
	u := upstream{orders: map[string]string{}}
	for _, l := range s.Lines("upstream") {
		if err := u.parse(strings.TrimSpace(l)); err != nil {
			t.Fatalf("upstream: %s: %v", l, err)
		}
	}
	packets, stream := listen(t)
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: u}, {Listener: stream, Handler: u}} {
		ended := make(chan struct{})
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			if err := server.ActivateAndServe(); err != nil {
				t.Error(err)
			}
		}()
		<-started
		t.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
	return packets.LocalAddr().String()
}

// listen opens UDP and TCP on one free port.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	for range 16 {
		stream, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", stream.Addr().String())
		if err == nil {
			return packets, stream
		}
		stream.Close()
	}
	t.Fatal("no port is free in both UDP and TCP")
	return nil, nil
}

// words are the orders for a name that are not an rcode.
var words = []string{"TC", "AD", "backwards", "offer", "echo", "silence"}

// parse takes in a line of the section.
func (u *upstream) parse(text string) error {
	if text == "" || text[0] == '#' {
		return nil
	}
	if f := strings.Fields(text); len(f) == 2 {
		if _, ok := dns.StringToRcode[f[1]]; !ok && !slices.Contains(words, f[1]) {
			return fmt.Errorf("%q is not an rcode, nor one of %v", f[1], words)
		}
		name := dns.CanonicalName(f[0])
		if f[0] == withEDNS {
			name = withEDNS
		}
		u.orders[name] = f[1]
		return nil
	}
	name, rest, _ := strings.Cut(text, " ")
	word, rest, _ := strings.Cut(rest, " ")
	name = dns.CanonicalName(name)
	if section := slices.Index(sections[:], word); section >= 0 {
		rr, err := dns.NewRR(rest)
		u.added = append(u.added, addition{name, section, rr})
		return err
	}
	if _, ok := dns.StringToRcode[rest]; ok && dns.StringToType[word] != 0 {
		u.orders[name+" "+word] = rest
		return nil
	}
	if word == rawReply {
		_, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
		u.orders[name] = rawReply + strings.ReplaceAll(rest, " ", "")
		return err
	}
	rr, err := dns.NewRR(text)
	if err == nil {
		u.records = append(u.records, rr)
	}
	return err
}

// ServeDNS answers one query.
func (u upstream) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	m := new(dns.Msg).SetReply(query)
	m.RecursionAvailable = true
	asked := query.Question[0]
	name := dns.CanonicalName(asked.Name)
	order := cmp.Or(u.orders[name+" "+dns.TypeToString[asked.Qtype]], u.orders[name])
	opt := query.IsEdns0()
	if rejection := u.orders[withEDNS]; opt != nil && rejection != "" { // of a server that knows no EDNS
		order, opt = rejection, nil
	}
	_, overUDP := w.RemoteAddr().(*net.UDPAddr)
	switch {
	case order == "silence":
		return
	case strings.HasPrefix(order, rawReply):
		octets, _ := hex.DecodeString(order[len(rawReply):])
		_, _ = w.Write(append(binary.BigEndian.AppendUint16(nil, query.Id), octets...))
		return
	case order == "echo":
		m.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET},
			Txt: []string{describe(query)}}}
	case order == "TC" && overUDP:
		m.Truncated = true
	case order == "offer":
		header := dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}
		m.Answer = []dns.RR{&dns.TXT{Hdr: header, Txt: []string{strconv.Itoa(offered(query))}}}
	case order == "backwards":
		u.answer(m, asked)
		slices.Reverse(m.Answer)
	case order == "" || order == "TC" || order == "AD":
		u.answer(m, asked)
		m.AuthenticatedData = order == "AD"
	default:
		m.Rcode = dns.StringToRcode[order]
		u.deny(m, asked.Name)
	}
	for _, a := range u.added {
		if section := []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra}[a.section]; a.name == name {
			*section = append(*section, a.rr)
		}
	}
	if opt != nil {
		m.SetEdns0(ownBufsize, opt.Do())
	}
	if overUDP {
		m.Truncate(offered(query))
	}
	m.Compress = true
	_ = w.WriteMsg(m) // the client may be gone
}

// offered is the size of a UDP reply that the query offers to take.
func offered(query *dns.Msg) int {
	if opt := query.IsEdns0(); opt != nil {
		return max(int(opt.UDPSize()), dns.MinMsgSize)
	}
	return dns.MinMsgSize
}

// withEDNS stands for all names in queries with EDNS.
const withEDNS = "EDNS"

// rawReply is the order to reply with octets.
const rawReply = "reply"

// describe says what a query asks for besides its question: its flags, and what its OPT says.
func describe(query *dns.Msg) string {
	text := strings.Join(flagsOf(&query.MsgHdr), " ")
	opt := query.IsEdns0()
	if opt == nil {
		return text + ", no EDNS"
	}
	text += fmt.Sprintf(", bufsize %d", opt.UDPSize())
	if opt.Do() {
		text += ", do"
	}
	for _, o := range opt.Option {
		text += fmt.Sprintf(", option %d", o.Option())
		switch o := o.(type) {
		case *dns.EDNS0_LOCAL:
			text += fmt.Sprintf(" %x", o.Data)
		case *dns.EDNS0_SUBNET:
			text += " " + o.String()
		}
	}
	return text
}

// answer follows the aliases it knows, then gives the records of the type or denies them.
func (u upstream) answer(m *dns.Msg, asked dns.Question) {
	name := asked.Name
	for range 16 { // a circle ends somewhere
		isAlias := false
		found := false
		for _, rr := range u.records {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			if rr.Header().Rrtype == asked.Qtype {
				m.Answer = append(m.Answer, rr)
				found = true
			} else if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				name, isAlias = c.Target, true
				break
			}
		}
		if isAlias {
			continue
		}
		if !found {
			m.Rcode = u.absence(name)
			u.deny(m, name)
		}
		return
	}
}

// absence is the rcode for a name without records of the type: NOERROR when it or a name below it has others.
func (u upstream) absence(name string) int {
	switch {
	case slices.ContainsFunc(u.records, func(rr dns.RR) bool { return dns.IsSubDomain(name, rr.Header().Name) }):
		return dns.RcodeSuccess
	case u.zone(name) != nil:
		return dns.RcodeNameError
	}
	return dns.RcodeRefused
}

// deny adds the SOA of the zone that name is in.
func (u upstream) deny(m *dns.Msg, name string) {
	if soa := u.zone(name); soa != nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
		m.Ns = append(m.Ns, soa)
	}
}

func (u upstream) zone(name string) dns.RR {
	for _, rr := range u.records {
		if rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(rr.Header().Name, name) {
			return rr
		}
	}
	return nil
}
