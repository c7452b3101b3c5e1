package resolver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// spaced is a cluster with a pod of prod at 10.244.0.1, one of dev at 10.244.0.2, and one on the network of its node at
// 10.244.0.9, of which some kinds have been read.
func spaced(synced zones.Kinds) *zones.Index {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		for i, space := range []string{"prod", "dev"} {
			tx.SetNamespace(space, true)
			tx.AddPod(zones.LivePod{Namespace: space, Addr: netip.AddrFrom4([4]byte{10, 244, 0, byte(1 + i)})})
		}
		tx.AddPod(zones.LivePod{Namespace: "prod", Addr: netip.MustParseAddr("10.244.0.9"), Host: true})
		tx.SetSynced(synced)
	})
	return index
}

func completing(t testing.TB, index *zones.Index, upstream *dnsServer) *Resolver {
	return running(t, nil, Block{Zones: []string{"."}, Cache: &Cache{}, Autopath: &Autopath{Zones: []string{"."}, Kubernetes: true},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index, TTL: time.Second, Pods: zones.PodsVerified}},
		Forwards:   []Forward{{From: ".", To: []Upstream{{Address: upstream.addr}}, ReadTimeout: time.Second}}})
}

// TestNamespacesStayApart: whatever others have asked before or ask at the same time, only a pod of a namespace gets what
// autopath finds for names of that namespace. The cache keeps the names that upstream was asked for, which are the same
// for all.
func TestNamespacesStayApart(t *testing.T) {
	upstream := serve(t, answering("192.0.2.1"))
	r := completing(t, spaced(zones.ServiceKinds|zones.PodObjects), upstream)
	clients := map[string]string{"10.244.0.1": "prod", "10.244.0.2": "dev", "10.244.0.3": "", "10.244.0.9": ""}
	var hosts []string
	for i := range 8 {
		hosts = append(hosts, fmt.Sprintf("www%d.example.com.", i))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		random := rand.New(rand.NewPCG(uint64(worker), 1))
		wg.Go(func() {
			for range 300 {
				for client, space := range clients {
					of, host := []string{"prod", "dev"}[random.IntN(2)], hosts[random.IntN(len(hosts))]
					want := "NXDOMAIN"
					if of == space {
						want = "NOERROR"
					}
					if got := completed(t, r, client, host+of+".svc.cluster.local."); got != want {
						t.Errorf("%s asks for %s in %s: %s, want %s", client, host, of, got, want)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	asked := upstream.questions()
	slices.Sort(asked)
	if !slices.Equal(asked, hosts) {
		t.Errorf("upstream was asked for %q, want each host once", asked)
	}
}

// completed is the rcode that a client gets for A records of name. With NOERROR there are an alias and an address.
func completed(t testing.TB, r *Resolver, client, name string) string {
	request := &Request{Client: netip.AddrPortFrom(netip.MustParseAddr(client), 4711), Now: time.Now()}
	reply, _ := r.Respond(t.Context(), request, pack(t, name, dns.TypeA), make([]byte, 4096))
	m := new(dns.Msg)
	if err := m.Unpack(reply); err != nil {
		return err.Error()
	}
	if got := len(m.Answer); m.Rcode == dns.RcodeSuccess && (got != 2 || m.Answer[0].Header().Rrtype != dns.TypeCNAME) {
		return fmt.Sprint(m.Answer)
	}
	return dns.RcodeToString[m.Rcode]
}

// TestAutopathBeforeTheClusterIsRead: nothing is guessed. Without services there is no answer at all; without all pods
// nobody is known, and a name that does not exist is denied.
func TestAutopathBeforeTheClusterIsRead(t *testing.T) {
	for synced, want := range map[zones.Kinds]wire.Rcode{
		0:                                     wire.ServerFailure,
		zones.PodObjects:                      wire.ServerFailure,
		zones.Namespaces | zones.PodObjects:   wire.ServerFailure,
		zones.ServiceKinds:                    wire.NameError,
		zones.ServiceKinds | zones.PodObjects: wire.NoError,
	} {
		upstream := serve(t, answering("192.0.2.1"))
		r := completing(t, spaced(synced), upstream)
		got := completed(t, r, "10.244.0.1", "www.example.com.prod.svc.cluster.local.")
		if got != dns.RcodeToString[int(want)] {
			t.Errorf("kinds %b: %s, want %v", synced, got, want)
		}
		if n := len(upstream.questions()); (n > 0) != (want == wire.NoError) {
			t.Errorf("kinds %b: upstream was asked %d times", synced, n)
		}
	}
}

// TestFirstNameIsAskedOnce: where no cache keeps the answer for the first name, which denies all of them at the end,
// upstream is asked for it once all the same.
func TestFirstNameIsAskedOnce(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	upstream := serve(t, func(q, reply *dns.Msg, _ bool) *dns.Msg {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, q.Question[0].Name)
		reply.Rcode = dns.RcodeNameError
		soa, err := dns.NewRR(q.Question[0].Name + " 60 IN SOA ns.a.test. h.a.test. 1 60 60 60 60")
		if err != nil {
			t.Error(err)
		}
		reply.Ns = []dns.RR{soa}
		return reply
	})
	r := running(t, nil, Block{Zones: []string{"."}, Bufsize: 1232,
		Autopath: &Autopath{Zones: []string{"."}, Search: []string{"a.test.", "b.test."}},
		Forwards: []Forward{{From: ".", To: []Upstream{{Address: upstream.addr}}, ReadTimeout: time.Second}}})
	request := &Request{Now: time.Now()}
	packet, _ := r.Respond(t.Context(), request, pack(t, "www.a.test.", dns.TypeA), make([]byte, 4096))
	reply := new(dns.Msg)
	if err := reply.Unpack(packet); err != nil {
		t.Fatal(err)
	}
	if got := said(reply); got != "NXDOMAIN" || len(reply.Ns) != 1 || reply.Ns[0].Header().Name != "www.a.test." {
		t.Errorf("%v", reply)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"www.a.test.", "www.b.test.", "www."}; !slices.Equal(asked, want) {
		t.Errorf("upstream was asked for %q", asked)
	}
}
