package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// transferred are the zones that the tests of this file transfer.
var transferred = []string{"cluster.local.", "in-addr.arpa."}

// transferCorefile gives its zones to one secondary, SECONDARY.
const transferCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	prometheus METRICS
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig KUBECONFIG
	}
	transfer cluster.local in-addr.arpa {
		to SECONDARY
	}
}
`

// startTransferring starts a clusterdns that transfers to secondary, and waits
// until it serves.
func startTransferring(t *testing.T, c *cluster, secondary string) *server {
	t.Helper()
	s := startServer(t, c.kubeconfig(""), strings.Replace(transferCorefile, "SECONDARY", secondary, 1))
	s.awaitServing(t, 30*time.Second)
	return s
}

func TestSecondaryFollowsThePrimary(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1", "fd00:10:96::101"))
	createService(t, c, externalName("alias", "web.default.svc.cluster.local"))
	createService(t, c, externalName("outside", "www.example.com"))
	createService(t, c, headless("db"))
	createSlice(t, c, slice("db", "db-1", discoveryv1.AddressTypeIPv4, ready("db-0", "10.3.0.1"), ready("db-1", "10.3.0.2"), unready("db-2", "10.3.0.3")))
	createSlice(t, c, slice("db", "db-2", discoveryv1.AddressTypeIPv6, ready("db-0", "fd00:3::1")))
	createBehind(t, c, "many", "10.96.1.2", 500)

	address := net.JoinHostPort("127.0.0.1", freePort(t))
	s := startTransferring(t, c, address)
	k := startKnot(t, address, s.address)
	k.awaitZones(t, s)
	s.sameZones(t, k)

	// The SOA asks for a refresh every two hours: what comes sooner, comes by NOTIFY.
	follow := func(what, name string, ok func(*dns.Msg) bool) {
		t.Helper()
		began := time.Now()
		k.awaitAnswer(t, patience, name, dns.TypeA, ok)
		t.Logf("%s: followed after %v", what, time.Since(began).Round(time.Millisecond))
	}
	createService(t, c, clusterIP("new", "10.96.1.3"))
	follow("a new service", "new.default.svc.cluster.local.", answered)
	updateSlice(t, c, slice("db", "db-1", discoveryv1.AddressTypeIPv4, unready("db-0", "10.3.0.1"), ready("db-1", "10.3.0.2"), ready("db-2", "10.3.0.3")))
	follow("an endpoint that is not ready any more", "db-0.db.default.svc.cluster.local.", func(r *dns.Msg) bool { return len(r.Answer) == 0 })
	follow("one that is", "db-2.db.default.svc.cluster.local.", answered)
	deleteService(t, c, "new")
	follow("a deleted service", "new.default.svc.cluster.local.", denied)
	ahead, began := int64(0), time.Now()
	for i := range 1000 { // each is published alone
		createService(t, c, clusterIP(fmt.Sprintf("burst-%d", i), fmt.Sprintf("10.96.%d.%d", 2+i/250, i%250+1)))
		ahead = max(ahead, int64(s.serial(t, "cluster.local."))-time.Now().Unix())
	}
	t.Logf("a thousand services in %v: the serial was up to %d s ahead of the clock", time.Since(began).Round(time.Millisecond), ahead)
	if ahead > 1 {
		t.Errorf("the serial is %d s ahead of the clock", ahead)
	}
	follow("a thousand new services", "burst-999.default.svc.cluster.local.", answered)

	k.awaitZones(t, s)
	s.sameZones(t, k)
	for _, zone := range transferred {
		if log := k.said(); !strings.Contains(log, "["+zone+"] notify, incoming") {
			t.Errorf("the secondary had no NOTIFY of %s", zone)
		}
	}
}

func TestTransferIsForSecondariesOnly(t *testing.T) {
	c := startCluster(t)
	s := startTransferring(t, c, "127.0.0.1:"+freePort(t))
	plain := startServer(t, c.kubeconfig(""), corefile)
	plain.awaitServing(t, 30*time.Second)

	for _, test := range []struct {
		name   string
		server *server
		from   string
		proto  string
		zone   string
		rcode  int
	}{
		{"secondary", s, "127.0.0.1", "tcp", "cluster.local.", dns.RcodeSuccess},
		{"another port of the secondary over IXFR", s, "127.0.0.1", "udp", "cluster.local.", dns.RcodeSuccess},
		{"another address", s, "127.0.0.2", "tcp", "cluster.local.", dns.RcodeRefused},
		{"another address, reverse", s, "127.0.0.2", "tcp", "in-addr.arpa.", dns.RcodeRefused},
		{"another address over UDP", s, "127.0.0.2", "udp", "cluster.local.", dns.RcodeRefused},
		{"zone that is not named", s, "127.0.0.1", "tcp", "ip6.arpa.", dns.RcodeRefused},
		{"below the apex", s, "127.0.0.1", "tcp", "svc.cluster.local.", dns.RcodeRefused},
		{"no directive", plain, "127.0.0.1", "tcp", "cluster.local.", dns.RcodeRefused},
		{"no directive, reverse", plain, "127.0.0.1", "tcp", "in-addr.arpa.", dns.RcodeRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, query := range []*dns.Msg{new(dns.Msg).SetAxfr(test.zone), ixfr(test.zone, 1)} {
				qtype := dns.TypeToString[query.Question[0].Qtype]
				rcode := test.rcode
				if test.proto == "udp" && qtype == "AXFR" {
					rcode = dns.RcodeRefused // RFC 5936 section 4.2: over TCP only
				}
				reply := exchangeFrom(t, test.from, test.proto, test.server.address, query)
				if reply.Rcode != rcode {
					t.Errorf("%s: %s, want %s", qtype, dns.RcodeToString[reply.Rcode], dns.RcodeToString[rcode])
				}
				if refused := rcode == dns.RcodeRefused; refused && len(reply.Answer) > 0 {
					t.Errorf("%s: refused with records:\n%v", qtype, reply)
				}
			}
		})
	}

	t.Run("IXFR", func(t *testing.T) {
		for _, zone := range transferred {
			serial := s.serial(t, zone)
			for _, proto := range []string{"udp", "tcp"} {
				reply := exchangeFrom(t, "127.0.0.1", proto, s.address, ixfr(zone, serial))
				if !isSOA(reply.Answer, serial) || !reply.Authoritative {
					t.Errorf("IXFR of %s from the current serial %d over %s:\n%v\nwant a single SOA", zone, serial, proto, reply)
				}
			}
			if records := s.transfer(t, ixfr(zone, serial-1), nil); len(records) < 4 {
				t.Errorf("IXFR of %s from an earlier serial: %v", zone, records)
			}
		}
	})
}

// TestTransferIsOfOneMoment takes transfers while objects change without pause.
// The changes keep promises about records that are far apart in the transfer:
//   - the endpoints left and right of a slice change in one write, and have the
//     same number in their addresses;
//   - the slices first and second are written in turn, so that first is at the
//     number of second or one ahead.
func TestTransferIsOfOneMoment(t *testing.T) {
	c := startCluster(t)
	for i := range 4 {
		createBehind(t, c, fmt.Sprintf("filler-%d", i), fmt.Sprintf("10.96.1.%d", i+1), 1000)
	}
	write := func(number int, put func(testing.TB, *cluster, *discoveryv1.EndpointSlice)) {
		numbered := func(service string, hosts ...string) *discoveryv1.EndpointSlice {
			o := slice(service, service, discoveryv1.AddressTypeIPv4)
			for i, host := range hosts {
				o.Endpoints = append(o.Endpoints, ready(host, fmt.Sprintf("10.%d.%d.%d", 20+i, number>>8, number&255)))
			}
			return o
		}
		put(t, c, numbered("pair", "left", "right"))
		put(t, c, numbered("first", "host"))
		put(t, c, numbered("second", "host"))
	}
	for _, name := range []string{"pair", "first", "second"} {
		createService(t, c, headless(name))
	}
	create := func(t testing.TB, c *cluster, o *discoveryv1.EndpointSlice) { createSlice(t, c, o) }
	write(0, create)
	s := startTransferring(t, c, "127.0.0.1:"+freePort(t))
	await(t, patience, "the first serial of all", func() bool {
		return slices.ContainsFunc(s.transfer(t, new(dns.Msg).SetAxfr("cluster.local."), nil), func(rr dns.RR) bool {
			return rr.Header().Name == "host.second.default.svc.cluster.local."
		})
	})

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for number := 1; number < 1<<16; number++ {
			select {
			case <-stop:
				t.Logf("%d rounds of writes", number)
				return
			default:
				write(number, updateSlice)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()

	seen := map[uint32]string{} // content by serial
	overtaken := 0
	for i := range 60 {
		// Every third is read slowly: it must not go on before what is served
		// has changed.
		var pause func(serial uint32)
		if i%3 == 0 {
			pause = func(serial uint32) {
				await(t, patience, "the zone to change", func() bool { return s.serial(t, "cluster.local.") != serial })
				overtaken++
			}
		}
		records := s.transfer(t, new(dns.Msg).SetAxfr("cluster.local."), pause)
		serial := records[0].(*dns.SOA).Serial
		if !isSOA(records[len(records)-1:], serial) {
			t.Fatalf("the transfer begins with serial %d and ends with %v", serial, records[len(records)-1])
		}
		left, right := number(t, records, "left.pair"), number(t, records, "right.pair")
		first, second := number(t, records, "host.first"), number(t, records, "host.second")
		if left != right {
			t.Errorf("serial %d: left is at %d, right at %d", serial, left, right)
		}
		if first != second && first != second+1 {
			t.Errorf("serial %d: first is at %d, second at %d", serial, first, second)
		}
		if first != left && first != left-1 {
			t.Errorf("serial %d: pair is at %d, first at %d", serial, left, first)
		}
		content := content(records)
		if other, again := seen[serial]; again && other != content {
			t.Errorf("two states have the serial %d", serial)
		}
		seen[serial] = content
	}
	t.Logf("60 transfers of %d serials, %d of them overtaken by changes", len(seen), overtaken)
	if len(seen) < 20 {
		t.Errorf("only %d different serials: nothing was proven", len(seen))
	}
}

// number is the number in the one address of a name below the namespace
// default.
func number(t *testing.T, records []dns.RR, name string) int {
	t.Helper()
	found := -1
	for _, rr := range records {
		if a, ok := rr.(*dns.A); ok && a.Hdr.Name == name+".default.svc.cluster.local." {
			if found >= 0 {
				t.Errorf("%s has two addresses", name)
			}
			ip := a.A.To4()
			found = int(ip[2])<<8 | int(ip[3])
		}
	}
	if found < 0 {
		t.Errorf("%s has no address", name)
	}
	return found
}

// createBehind creates a service with a cluster IP and many endpoints, each of
// which has a name.
func createBehind(t *testing.T, c *cluster, name, ip string, endpoints int) {
	t.Helper()
	createService(t, c, clusterIP(name, ip))
	o := slice(name, name, discoveryv1.AddressTypeIPv4)
	base := netip.MustParseAddr(ip).As4()
	for i := range endpoints {
		o.Endpoints = append(o.Endpoints, ready("", netip.AddrFrom4([4]byte{10, 100 + base[3], byte(i >> 8), byte(i)}).String()))
	}
	createSlice(t, c, o)
}

// ixfr asks for what has changed since serial.
func ixfr(zone string, serial uint32) *dns.Msg {
	return new(dns.Msg).SetIxfr(zone, serial, "ns."+zone, "hostmaster."+zone)
}

// isSOA reports whether records are one SOA of that serial.
func isSOA(records []dns.RR, serial uint32) bool {
	if len(records) != 1 {
		return false
	}
	soa, ok := records[0].(*dns.SOA)
	return ok && soa.Serial == serial
}

// exchangeFrom asks from an address of its own.
func exchangeFrom(t *testing.T, from, proto, address string, query *dns.Msg) *dns.Msg {
	t.Helper()
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	if proto == "udp" {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	} else {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	}
	client := &dns.Client{Net: proto, Dialer: dialer, Timeout: 2 * time.Second}
	reply, _, err := client.ExchangeContext(t.Context(), query, address)
	if err != nil {
		t.Fatalf("%s from %s over %s: %v", query.Question[0].Name, from, proto, err)
	}
	return reply
}

// serial is the serial of a zone of ours.
func (s *server) serial(t testing.TB, zone string) uint32 {
	t.Helper()
	reply := s.ask(t, "udp", zone, dns.TypeSOA)
	if len(reply.Answer) != 1 {
		t.Fatalf("SOA of %s:\n%v", zone, reply)
	}
	return reply.Answer[0].(*dns.SOA).Serial
}

// transfer returns the records that answer an AXFR or IXFR. With pause, it
// calls that with the serial after the first message, and gives the server no
// room to send far ahead.
func (s *server) transfer(t testing.TB, query *dns.Msg, pause func(serial uint32)) []dns.RR {
	t.Helper()
	connection, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if pause != nil {
		connection.(*net.TCPConn).SetReadBuffer(64 << 10)
	}
	transfer := &dns.Transfer{Conn: &dns.Conn{Conn: connection}, ReadTimeout: patience}
	envelopes, err := transfer.In(query, s.address)
	if err != nil {
		t.Fatal(err)
	}
	var records []dns.RR
	for e := range envelopes {
		if e.Error != nil {
			t.Fatalf("transfer of %s after %d records: %v", query.Question[0].Name, len(records), e.Error)
		}
		first := len(records) == 0
		records = append(records, e.RR...)
		if first && pause != nil {
			pause(records[0].(*dns.SOA).Serial)
		}
	}
	return records
}

// content is the records as text, in an order of their own.
func content(records []dns.RR) string {
	lines := make([]string, len(records))
	for i, rr := range records {
		lines[i] = line(rr)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// sameZones checks that a secondary answers as s does, for every rrset of the
// zones that s transfers, and for the names around them.
func (s *server) sameZones(t *testing.T, secondary *server) {
	t.Helper()
	ours, theirs := s.connect(t), secondary.connect(t)
	for _, zone := range transferred {
		records := s.transfer(t, new(dns.Msg).SetAxfr(zone), nil)
		sets := map[dns.Question][]string{}
		questions := map[dns.Question]bool{}
		for _, rr := range records[:len(records)-1] { // the SOA comes twice
			h := rr.Header()
			q := dns.Question{Name: h.Name, Qtype: h.Rrtype, Qclass: h.Class}
			sets[q] = append(sets[q], line(rr))
			questions[q] = true
			for name := h.Name; dns.IsSubDomain(zone, name); name = parentOf(name) { // the empty non-terminals too
				for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX} {
					questions[dns.Question{Name: name, Qtype: qtype, Qclass: h.Class}] = true
				}
				questions[dns.Question{Name: "nothing." + name, Qtype: dns.TypeA, Qclass: h.Class}] = true
			}
		}
		for _, q := range slices.SortedFunc(maps.Keys(questions), func(a, b dns.Question) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Qtype, b.Qtype))
		}) {
			want, got := ours(q), theirs(q)
			if want != got {
				t.Errorf("%s %s: the primary says\n%s\nthe secondary\n%s", q.Name, dns.TypeToString[q.Qtype], want, got)
			}
			if set, ok := sets[q]; ok {
				slices.Sort(set)
				if set := "NOERROR aa\n" + strings.Join(set, "\n"); set != want {
					t.Errorf("%s %s: transferred is\n%s\nasked, the primary says\n%s", q.Name, dns.TypeToString[q.Qtype], set, want)
				}
			}
		}
		t.Logf("%s: %d records transferred, %d questions asked", zone, len(records)-1, len(questions))
	}
}

func parentOf(name string) string {
	if i, end := dns.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

// connect opens a TCP connection, and returns a function that asks on it and
// says what was answered: rcode, aa, and the answer section in order.
func (s *server) connect(t *testing.T) func(dns.Question) string {
	t.Helper()
	connection, err := dns.DialTimeout("tcp", s.address, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	client := &dns.Client{Net: "tcp", Timeout: 2 * time.Second}
	return func(q dns.Question) string {
		query := new(dns.Msg).SetQuestion(q.Name, q.Qtype)
		query.RecursionDesired = false
		reply, _, err := client.ExchangeWithConn(query, connection)
		if err != nil {
			t.Fatalf("%s %s: %v", q.Name, dns.TypeToString[q.Qtype], err)
		}
		header := dns.RcodeToString[reply.Rcode]
		if reply.Authoritative {
			header += " aa"
		}
		return strings.TrimSuffix(header+"\n"+content(reply.Answer), "\n")
	}
}

// knotConfig is a secondary of both zones that remembers nothing over a restart,
// and needs no room for what it might. It believes a NOTIFY from loopback.
const knotConfig = `server:
    rundir: "DIR"
    listen: ADDRESS
    udp-workers: 1
    tcp-workers: 1
    background-workers: 2
log:
  - target: stderr
    any: info
database:
    storage: "DIR"
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 16M
remote:
  - id: primary
    address: PRIMARY
acl:
  - id: notify
    address: 127.0.0.1
    action: notify
template:
  - id: default
    storage: "DIR"
    master: primary
    acl: notify
    zonefile-load: none
    zonefile-sync: -1
    journal-content: none
zone:
  - domain: cluster.local
  - domain: in-addr.arpa
`

// startKnot starts Knot DNS as a secondary at address.
func startKnot(t *testing.T, address, primary string) *server {
	t.Helper()
	path, err := exec.LookPath("knotd")
	if err != nil {
		path = "/usr/sbin/knotd" // not on everybody's path
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%v: it is in Debian's knot", err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "knot.conf")
	text := strings.NewReplacer("DIR", dir, "ADDRESS", knotAddress(address), "PRIMARY", knotAddress(primary)).Replace(knotConfig)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &server{address: address, process: start(t, nil, path, "-c", file)}
}

// knotAddress is an address as Knot DNS writes it.
func knotAddress(address string) string { return strings.Replace(address, ":", "@", 1) }

// awaitZones waits until a secondary has the zones as s has them now.
func (s *server) awaitZones(t *testing.T, primary *server) {
	t.Helper()
	for _, zone := range transferred {
		s.awaitAnswer(t, patience, zone, dns.TypeSOA, func(r *dns.Msg) bool { // what has changed has its serial within a second
			return isSOA(r.Answer, primary.serial(t, zone))
		})
	}
}
