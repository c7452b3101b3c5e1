package e2e

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

const affineCorefile = `. {
	bind 127.0.0.1
	errors
	loadbalance
	ready READY
	kubernetes cluster.local {
		kubeconfig KUBECONFIG
		affinity
	}
}
`

// firstPods is the numbers of the pods that come first for a client, one of
// 127.0.0.0/8, by A, AAAA and SRV records.
func (s *server) firstPods(t *testing.T, client int) (pods [3]int) {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 1, byte(client))}, Timeout: 5 * time.Second}
	asks := &dns.Client{Dialer: dialer, Timeout: 5 * time.Second}
	for i, name := range []string{"web.default.svc.cluster.local.", "web.default.svc.cluster.local.", "_http._tcp.web.default.svc.cluster.local."} {
		query := new(dns.Msg).SetQuestion(name, []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV}[i])
		query.SetEdns0(4096, false)
		reply, _, err := asks.ExchangeContext(t.Context(), query, s.address)
		if err != nil || len(reply.Answer) == 0 {
			t.Fatalf("%s: %v %v", name, err, reply)
		}
		switch rr := reply.Answer[0].(type) {
		case *dns.A:
			pods[i] = int(rr.A.To4()[3])
		case *dns.AAAA:
			pods[i] = int(rr.AAAA[15])
		case *dns.SRV:
			if rr.Priority != 0 {
				t.Errorf("the first record is %v", rr)
			}
			for _, extra := range reply.Extra {
				if a, ok := extra.(*dns.A); ok && a.Hdr.Name == rr.Target {
					pods[i] = int(a.A.To4()[3])
				}
				if a, ok := extra.(*dns.AAAA); ok && a.Hdr.Name == rr.Target {
					pods[i] = int(a.AAAA[15])
				}
			}
		}
	}
	return pods
}

// TestSessionAffinity: each client has a pod that comes first for it, by
// slices as the controllers write them. It stays when the server starts anew,
// and when other pods come and go.
func TestSessionAffinity(t *testing.T) {
	c := startCluster(t)
	c.startControllers(t)
	web := dualStack("web")
	web.Spec.ClusterIP, web.Spec.SessionAffinity = corev1.ClusterIPNone, corev1.ServiceAffinityClientIP
	createService(t, c, web)
	const pods, clients = 5, 40
	for i := 1; i <= pods; i++ {
		createReadyPod(t, c, fmt.Sprint("web-", i), "web", fmt.Sprint("10.244.0.", i), fmt.Sprintf("fd00:10:244::%x", i))
	}
	s := startServer(t, c.kubeconfig(""), affineCorefile)
	s.awaitServing(t, 30*time.Second)
	count := func(want int) {
		t.Helper()
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
			s.awaitAnswer(t, patience, "web.default.svc.cluster.local.", typ, func(m *dns.Msg) bool { return len(m.Answer) == want })
		}
	}
	count(pods)
	var first [clients]int
	counts := map[int]int{}
	for client := range first {
		got := s.firstPods(t, client+1)
		if again := s.firstPods(t, client+1); got != again || got[0] != got[1] || got[0] != got[2] {
			t.Errorf("client %d: A, AAAA and SRV lead to the pods %v, and then %v", client, got, again)
		}
		first[client] = got[0]
		counts[got[0]]++
	}
	if len(counts) < pods-1 {
		t.Errorf("clients of each pod: %v", counts)
	}
	gone := first[0]
	deletePod(t, c, fmt.Sprint("web-", gone))
	count(pods - 1)
	for client, was := range first {
		if got := s.firstPods(t, client+1); got[0] == gone || was != gone && got[0] != was || got[0] != got[1] || got[0] != got[2] {
			t.Errorf("client %d had pod %d, and %v when %d was deleted", client, was, got, gone)
		}
	}
	createReadyPod(t, c, "web-new", "web", fmt.Sprint("10.244.0.", gone), fmt.Sprintf("fd00:10:244::%x", gone))
	count(pods)
	again := startServer(t, c.kubeconfig(""), affineCorefile)
	again.awaitServing(t, 30*time.Second)
	for _, replica := range []*server{s, again} {
		var got []int
		for client := range first {
			got = append(got, replica.firstPods(t, client+1)[0])
		}
		if !slices.Equal(got, first[:]) {
			t.Errorf("the pods %v came first, and now %v", first, got)
		}
	}
}
