package resolver

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// transferrer is a resolver that lets anybody transfer some zones of an index.
func transferrer(index *zones.Index, transferred ...string) *Resolver {
	return must(New(Options{Blocks: []Block{{
		Zones: []string{"."},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local.", "in-addr.arpa."}, Index: index,
			TTL: 5 * time.Second}},
		Transfers: []ZoneTransfer{{Zones: transferred, Any: true}},
	}}}, nil, slog.New(slog.DiscardHandler)))
}

// synced says that an index has been read, and gives it a serial.
func synced(index *zones.Index, serial uint32) {
	index.Update(time.Unix(int64(serial)-1, 0), func(tx *zones.Tx) { tx.SetSynced(zones.ServiceKinds) })
	index.Number(time.Unix(int64(serial), 0))
}

// askTransfer is the result of a query for a transfer over TCP.
func askTransfer(t *testing.T, r *Resolver, m *dns.Msg) (*Request, Result) {
	t.Helper()
	request := &Request{Proto: TCP, Client: netip.MustParseAddrPort("192.0.2.7:53"),
		Local: netip.MustParseAddr("192.0.2.53")}
	_, result := r.Answer(request, must(m.Pack()), make([]byte, 0, wire.MaxMessage))
	return request, result
}

// TestTransfersOfTheirZones: `transfer cluster.local` allows no other zone.
func TestTransfersOfTheirZones(t *testing.T) {
	index := zones.NewIndex()
	synced(index, 1)
	for _, tt := range []struct {
		transferred, zone string
		want              Result
	}{
		{"cluster.local.", "cluster.local.", Transfer},
		{"cluster.local.", "in-addr.arpa.", Send},
		{"in-addr.arpa.", "cluster.local.", Send},
		{"in-addr.arpa.", "in-addr.arpa.", Transfer},
		{".", "cluster.local.", Transfer},
		{"svc.cluster.local.", "cluster.local.", Send},
	} {
		request, result := askTransfer(t, transferrer(index, tt.transferred), new(dns.Msg).SetAxfr(tt.zone))
		if result != tt.want || result == Send && request.Reply.Rcode != wire.Refused {
			t.Errorf("transfer %s: %s has result %v, rcode %v", tt.transferred, tt.zone, result, request.Reply.Rcode)
		}
	}
}

// TestTransferAsksACL: whom acl blocks gets no zone, whatever transfer says.
func TestTransferAsksACL(t *testing.T) {
	index := zones.NewIndex()
	synced(index, 1)
	for network, want := range map[string]Result{"192.0.2.0/24": Send, "198.51.100.0/24": Transfer} {
		r := must(New(Options{Blocks: []Block{{
			Zones: []string{"."},
			ACLs: []ACL{{Zones: []string{"."},
				Rules: []ACLRule{{Action: ACLBlock, Networks: []netip.Prefix{netip.MustParsePrefix(network)}}}}},
			Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index}},
			Transfers:  []ZoneTransfer{{Zones: []string{"cluster.local."}, Any: true}},
		}}}, nil, nil))
		request, result := askTransfer(t, r, new(dns.Msg).SetAxfr("cluster.local."))
		if result != want || result == Send && (request.Reply.Rcode != wire.Refused || request.Source != FromACL) {
			t.Errorf("block net %s: result %v, rcode %v from %v", network, result, request.Reply.Rcode, request.Source)
		}
	}
}

// TestSerialsGoRound: a client with the serial or a later one gets the SOA alone. RFC 1982 section 3.2 says which
// serial is later.
func TestSerialsGoRound(t *testing.T) {
	for _, tt := range []struct {
		serial, has uint32
		want        Result
	}{
		{1000, 1000, Send},
		{1000, 1001, Send},
		{1000, 999, Transfer},
		{5, 0xfffffff0, Transfer},
		{0xfffffff0, 5, Send},
		{0x80000000, 1, Transfer},
		{1, 0x80000000, Send},
	} {
		index := zones.NewIndex()
		synced(index, tt.serial)
		query := new(dns.Msg).SetIxfr("cluster.local.", tt.has, "ns.dns.cluster.local.", "hostmaster.cluster.local.")
		request, result := askTransfer(t, transferrer(index, "."), query)
		if result != tt.want || result == Send && request.Reply.Count(wire.Answer) != 1 {
			t.Errorf("IXFR of serial %d from %d: result %v, want %v", tt.serial, tt.has, result, tt.want)
		}
	}
}

// TestTransferWaitsForTheFirstSerial: a cluster that has just been read gets its serial at the next full second, and a
// secondary that asks before gets that, not SERVFAIL.
func TestTransferWaitsForTheFirstSerial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		index := zones.NewIndex()
		read := time.Now()
		index.Update(read, func(tx *zones.Tx) { tx.SetSynced(zones.ServiceKinds) })
		r := transferrer(index, ".")
		go func() {
			time.Sleep(time.Second)
			index.Number(time.Now())
		}()
		messages := transferAll(t, r, "cluster.local.")
		if soa := messages[0].Answer[0].(*dns.SOA); soa.Serial != uint32(read.Unix())+1 || time.Since(read) != time.Second {
			t.Errorf("serial %d after %v, want that of the second after %v", soa.Serial, time.Since(read), read)
		}
		// A source that has ended gives no serial any more.
		index = zones.NewIndex()
		index.Update(read, func(tx *zones.Tx) { tx.SetSynced(zones.ServiceKinds) })
		r = transferrer(index, ".")
		request, result := askTransfer(t, r, new(dns.Msg).SetAxfr("cluster.local."))
		if err := r.SendZone(request, make([]byte, 0, wire.MaxMessage), nil); result != Transfer || err != errUnnumbered {
			t.Errorf("result %v, error %v", result, err)
		}
	})
}

// TestTransferEndsWithItsSOA: the SOA comes last, however full the message before it is. The zone grows past the size
// of a message octet by octet, with the name of one service.
func TestTransferEndsWithItsSOA(t *testing.T) {
	const (
		address = 43 // octets that the address record of a service with a name of four letters takes
		fewest  = transferSize/address - 9
	)
	alone := 0
	for services := fewest; services < fewest+7; services++ {
		for letters := range address {
			index := zones.NewIndex()
			index.Update(time.Unix(1000, 0), func(tx *zones.Tx) {
				for i := range services {
					tx.SetService(addressOnly(fmt.Sprintf("s%03d", i)))
				}
				tx.SetService(addressOnly(strings.Repeat("x", letters+1)))
			})
			synced(index, 1000)
			messages := transferAll(t, transferrer(index, "."), "cluster.local.")
			last := messages[len(messages)-1].Answer
			if len(messages) > 1 && len(last) == 1 {
				alone++
			}
			checkTransfer(t, messages, services+1)
			if t.Failed() {
				t.Fatalf("%d services, and one of %d letters", services, letters+1)
			}
		}
	}
	if alone == 0 {
		t.Error("no message was too full for the SOA")
	}
}

// addressOnly is a service with one address record.
func addressOnly(name string) *zones.ServiceRecords {
	var b zones.Builder
	b.Start("prod", name)
	b.Address(b.Name(""), netip.MustParseAddr("10.96.0.1"))
	return must(b.Build())
}

// transferAll is the messages of a transfer of zone.
func transferAll(t *testing.T, r *Resolver, zone string) (messages []*dns.Msg) {
	t.Helper()
	request, result := askTransfer(t, r, new(dns.Msg).SetAxfr(zone))
	if result != Transfer {
		t.Fatalf("result %v", result)
	}
	err := r.SendZone(request, make([]byte, 0, wire.MaxMessage), func(packet []byte) error {
		m := new(dns.Msg)
		messages = append(messages, m)
		if len(packet) > transferSize {
			t.Errorf("a message of %d octets", len(packet))
		}
		return m.Unpack(packet)
	})
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// checkTransfer expects the SOA first and last, and each service once between them.
func checkTransfer(t *testing.T, messages []*dns.Msg, services int) {
	t.Helper()
	var all []dns.RR
	for _, m := range messages {
		if m.Truncated {
			t.Error("a message is cut")
		}
		all = append(all, m.Answer...)
	}
	owners := map[string]bool{}
	for i, rr := range all {
		if _, isSOA := rr.(*dns.SOA); isSOA != (i == 0 || i == len(all)-1) {
			t.Errorf("record %d of %d: %v", i+1, len(all), rr)
		}
		if strings.HasSuffix(rr.Header().Name, ".prod.svc.cluster.local.") {
			owners[rr.Header().Name] = true
		}
	}
	if len(owners) != services {
		t.Errorf("%d services, want %d", len(owners), services)
	}
}

// TestTransferOfManyNameServers: a transfer has those name servers that an answer has.
func TestTransferOfManyNameServers(t *testing.T) {
	for _, hosts := range []int{1, maxServers, maxServers + 1, 200} {
		count, seen := map[uint16]int{}, map[string]bool{}
		for _, m := range transferAll(t, crowded(hosts), "cluster.local.") {
			for _, rr := range m.Answer {
				if text := rr.String(); rr.Header().Rrtype != dns.TypeSOA && seen[text] {
					t.Errorf("%d hosts: twice: %s", hosts, text)
				} else {
					seen[text] = true
				}
				if name := rr.Header().Name; name == "cluster.local." || name == "ns.dns.cluster.local." ||
					name == "dns-version.cluster.local." {
					count[rr.Header().Rrtype]++
				}
			}
		}
		servers := min(hosts, maxServers)
		want := map[uint16]int{dns.TypeNS: servers, dns.TypeA: (servers + 1) / 2, dns.TypeTXT: 1, dns.TypeSOA: 2}
		if !maps.Equal(count, want) {
			t.Errorf("%d hosts: records by type %v, want %v", hosts, count, want)
		}
	}
}
