package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/testdata/apiserver/faults"
)

// healed is how soon the index must equal the API after a fault is over.
const healed = 5 * time.Second

// faultCorefile shows the whole index, in a transfer, and what does not come
// from the API server. UPSTREAM is filled in by startUnder.
const faultCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	health HEALTH
	prometheus METRICS
	hosts {
		192.0.2.53 www.example.com
		fallthrough
	}
	transfer cluster.local in-addr.arpa ip6.arpa {
		to *
	}
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig KUBECONFIG
		pods verified
	}
	forward . UPSTREAM
}
`

// kinds are what is watched under faultCorefile.
var kinds = []string{"services", "endpointslices", "namespaces", "pods"}

// A subject is a server under a fault, with a namespace of its own in a cluster
// that it may share.
type subject struct {
	*server
	cluster *cluster
	proxy   *faults.Proxy // nil when there is nothing in between
	space   string
	next    byte // the last part of the next address
}

// TestFaults lets everything go wrong between a server and its API server. After
// each fault the index equals the API. The faults are waited for, most of them,
// so they run side by side and not as many at a time as there are processors:
// that rules out t.Parallel.
func TestFaults(t *testing.T) {
	shared := startCluster(t)
	var running sync.WaitGroup
	run := func(name string, fault func(*testing.T)) {
		running.Go(func() { t.Run(name, fault) })
	}
	run("APIServerKilledAndRestored", killedAndRestored)
	for _, fault := range []struct {
		name string
		old  bool // HTTP/1.1
		run  func(*testing.T, *subject)
	}{
		{"DarkConnection", false, darkConnection},
		{"DarkConnectionOfHTTP1", true, darkOldConnection},
		{"SilentWatch", false, silentWatch},
		{"GoneStorm", false, goneStorm},
		{"TooManyRequestsAndServerErrors", false, overload},
		{"BrokenProtobuf", false, brokenProtobuf},
		{"RepeatedAndStaleEvents", false, repeatedEvents},
		{"ShortList", false, shortList},
		{"PermissionTakenAway", false, permissionTakenAway},
	} {
		run(fault.name, func(t *testing.T) {
			p, err := faults.Start(shared.dir, fault.old)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			fault.run(t, startBehind(t, shared, p))
		})
	}
	running.Wait()
}

// startBehind starts a server behind a proxy, in a namespace that is called as
// the test.
func startBehind(t *testing.T, c *cluster, p *faults.Proxy) *subject {
	t.Helper()
	s := newSubject(t, c)
	s.proxy = p
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := p.Kubeconfig(c.kubeconfig(""), kubeconfig); err != nil {
		t.Fatal(err)
	}
	s.server = startUnder(t, kubeconfig)
	s.awaitServing(t, time.Minute)
	s.equalsAPI(t, healed)
	return s
}

// startUnder starts a server with faultCorefile and an upstream, and waits until
// it listens. Tests that run side by side open ports all the time, so one that
// was free may be taken by then, and the server does not start.
func startUnder(t *testing.T, kubeconfig string) *server {
	t.Helper()
	corefile := strings.Replace(faultCorefile, "UPSTREAM", startUpstream(t), 1)
	for {
		s := startServer(t, kubeconfig, corefile)
		taken := false
		await(t, 10*time.Second, "clusterdns to listen", func() bool {
			select {
			case <-s.ended:
				taken = strings.Contains(s.said(), "address already in use")
				if !taken {
					t.Fatalf("clusterdns ended: %v", s.err)
				}
				return true
			default:
				_, _, err := fetch(t.Context(), "http://"+s.ready+"/ready")
				return err == nil
			}
		})
		if !taken {
			return s
		}
	}
}

// startUpstream starts a name server for which every name has one address, and
// returns where it is.
func startUpstream(t *testing.T) string {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstream := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		if q := query.Question[0]; q.Qtype == dns.TypeA {
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 80)}}
		}
		w.WriteMsg(reply)
	})}
	go upstream.ActivateAndServe()
	t.Cleanup(func() { upstream.Shutdown() })
	return packets.LocalAddr().String()
}

// newSubject creates the namespace and first objects of a subject: a service of
// each kind, which no fault removes.
func newSubject(t *testing.T, c *cluster) *subject {
	t.Helper()
	_, name, _ := strings.Cut(t.Name(), "/")
	s := &subject{cluster: c, space: strings.ToLower(name)}
	if _, err := c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.space}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	web := dualStack("web")
	web.Spec.Selector = nil
	s.create(t, web)
	s.create(t, headless("db"))
	s.create(t, externalName("alias", "www.example.com"))
	s.move(t)
	return s
}

func (s *subject) create(t testing.TB, service *corev1.Service) *corev1.Service {
	t.Helper()
	created, err := s.cluster.CoreV1().Services(s.space).Create(t.Context(), service, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func (s *subject) delete(t testing.TB, service string) {
	t.Helper()
	if err := s.cluster.CoreV1().Services(s.space).Delete(t.Context(), service, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// move gives db another address.
func (s *subject) move(t testing.TB) {
	t.Helper()
	s.next++
	o := slice("db", "db", discoveryv1.AddressTypeIPv4, ready("", fmt.Sprintf("10.9.0.%d", s.next)))
	slices := s.cluster.DiscoveryV1().EndpointSlices(s.space)
	var err error
	if s.next == 1 {
		_, err = slices.Create(t.Context(), o, metav1.CreateOptions{})
	} else {
		_, err = slices.Update(t.Context(), o, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// change moves db, creates a service and deletes the one before it.
func (s *subject) change(t testing.TB) {
	t.Helper()
	s.move(t)
	s.create(t, dualStack(fmt.Sprint("new-", s.next)))
	if s.next > 2 {
		s.delete(t, fmt.Sprint("new-", s.next-1))
	}
}

// name is that of one of the subject's services.
func (s *subject) name(service string) string {
	return service + "." + s.space + ".svc.cluster.local."
}

// stale is the age of what is known of a kind.
func (s *subject) stale(t testing.TB, kind string) time.Duration {
	t.Helper()
	seconds := s.metric(t, fmt.Sprintf(`clusterdns_kubernetes_stale_seconds{kind=%q`, kind))
	return time.Duration(seconds * float64(time.Second))
}

// since is a time to log.
func since(t time.Time) time.Duration { return time.Since(t).Round(time.Millisecond) }

// equalsAPI waits until transfers of the zones have all records of the subject's
// namespace that follow from what the API server lists, and no other; and until
// the server is ready. It returns how long that took.
func (s *subject) equalsAPI(t testing.TB, within time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		want, errAPI := s.listed(t.Context())
		got, errDNS := s.transferred(t.Context())
		status, _, errReady := fetch(t.Context(), "http://"+s.ready+"/ready")
		err := errors.Join(errAPI, errDNS, errReady)
		if err == nil && slices.Equal(got, want) && status == 200 {
			return since(began)
		}
		if time.Since(began) > within {
			t.Fatalf("after %v the index is not the API: %v; /ready says %d; it has\n%s\nwant\n%s",
				since(began), err, status, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// listed are the addresses, aliases and pointers that follow from the API, as "owner type
// data", sorted. The names are written here by the specification alone.
func (s *subject) listed(ctx context.Context) ([]string, error) {
	services, err := s.cluster.CoreV1().Services(s.space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	endpoints, err := s.cluster.DiscoveryV1().EndpointSlices(s.space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var all []string
	add := func(owner, text string) {
		kind := "A"
		if netip.MustParseAddr(text).Is6() {
			kind = "AAAA"
		}
		all = append(all, owner+" "+kind+" "+text)
	}
	point := func(text, target string) {
		owner, _ := dns.ReverseAddr(text)
		all = append(all, owner+" PTR "+target)
	}
	for _, o := range services.Items {
		owner := s.name(o.Name)
		if o.Spec.Type == corev1.ServiceTypeExternalName {
			all = append(all, owner+" CNAME "+o.Spec.ExternalName+".")
			continue
		}
		bare := o.Spec.ClusterIP == corev1.ClusterIPNone
		if !bare {
			for _, address := range o.Spec.ClusterIPs {
				add(owner, address)
				point(address, owner)
			}
		}
		for _, slice := range endpoints.Items {
			if slice.Labels[discoveryv1.LabelServiceName] != o.Name {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				address := endpoint.Addresses[0]
				own := strings.ReplaceAll(address, ".", "-") + "." + owner
				add(own, address)
				point(address, own)
				if bare {
					add(owner, address)
				}
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

// transferred are the addresses, aliases and pointers of the subject's namespace
// in transfers of the zones.
func (s *subject) transferred(ctx context.Context) ([]string, error) {
	var all []string
	add := func(rr dns.RR, name, data string) {
		if strings.HasSuffix(name, s.name("")) && rr.Header().Name[0] != '_' { // names of ports have the addresses of their service
			all = append(all, rr.Header().Name+" "+dns.TypeToString[rr.Header().Rrtype]+" "+data)
		}
	}
	for _, zone := range []string{"cluster.local.", "in-addr.arpa.", "ip6.arpa."} {
		parts, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr(zone), s.address)
		if err != nil {
			return nil, err
		}
		for part := range parts {
			err = errors.Join(err, part.Error)
			for _, rr := range part.RR {
				switch rr := rr.(type) {
				case *dns.A:
					add(rr, rr.Hdr.Name, rr.A.String())
				case *dns.AAAA:
					add(rr, rr.Hdr.Name, rr.AAAA.String())
				case *dns.CNAME:
					add(rr, rr.Hdr.Name, rr.Target)
				case *dns.PTR:
					add(rr, rr.Ptr, rr.Ptr)
				}
			}
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, ctx.Err()
}

// unknown expects that a name is not known yet, which is said in the way of RFC
// 8914: error 14 is "Not Ready".
func (s *server) unknown(t testing.TB, name string, qtype uint16) {
	t.Helper()
	query := new(dns.Msg).SetQuestion(name, qtype).SetEdns0(1232, false)
	reply, err := exchange(t.Context(), "udp", s.address, query)
	if err != nil {
		t.Fatal(err)
	}
	if reply.Rcode == dns.RcodeServerFailure && len(reply.Answer) == 0 {
		for _, option := range reply.IsEdns0().Option {
			if e, ok := option.(*dns.EDNS0_EDE); ok && e.InfoCode == dns.ExtendedErrorCodeNotReady {
				return
			}
		}
	}
	t.Errorf("%s %s: want SERVFAIL and error 14, got\n%v", name, dns.TypeToString[qtype], reply)
}

// A load asks at a steady rate until it is stopped.
type load struct {
	stop  context.CancelFunc
	ended chan struct{}
	asked int
	wrong []string // what was not answered or not as before, some of it
	worst time.Duration
}

// load begins to ask for names of objects that stay, 500 times a second over one
// UDP socket, and compares each answer with the one at the beginning.
func (s *subject) load(t *testing.T) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop, ended: make(chan struct{})}
	connection, err := dns.Dial("udp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	questions := []dns.Question{
		{Name: s.name("web"), Qtype: dns.TypeA}, {Name: s.name("web"), Qtype: dns.TypeAAAA}, {Name: s.name("web"), Qtype: dns.TypeSRV},
		{Name: s.name("db"), Qtype: dns.TypeA}, {Name: s.name("alias"), Qtype: dns.TypeA}, {Name: s.name("alias"), Qtype: dns.TypeCNAME},
		{Name: s.name("nothing"), Qtype: dns.TypeA}, {Name: s.space + ".svc.cluster.local.", Qtype: dns.TypeA},
		{Name: "kubernetes.default.svc.cluster.local.", Qtype: dns.TypeA}, {Name: "1.0.96.10.in-addr.arpa.", Qtype: dns.TypePTR},
		{Name: "www.example.com.", Qtype: dns.TypeA},
	}
	client := &dns.Client{Timeout: time.Second}
	answer := func(q dns.Question) (string, time.Duration) {
		reply, took, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(q.Name, q.Qtype), connection)
		return summaryOf(reply, err), took
	}
	want := make([]string, len(questions))
	for i, q := range questions {
		want[i], _ = answer(q)
		if !strings.HasPrefix(want[i], "NOERROR") && !strings.HasPrefix(want[i], "NXDOMAIN") {
			t.Fatalf("%s: %s", q.Name, want[i])
		}
	}
	go func() {
		defer close(l.ended)
		defer connection.Close()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; l.asked++ {
			i := l.asked % len(questions)
			got, took := answer(questions[i])
			l.worst = max(l.worst, took)
			if got != want[i] && len(l.wrong) < 5 {
				l.wrong = append(l.wrong, fmt.Sprintf("%s: %swant %s", questions[i].Name, got, want[i]))
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return l
}

// end stops asking. Every question must have been answered as at the beginning.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	<-l.ended
	t.Logf("load: %d questions, %d wrong, the slowest answer after %v", l.asked, len(l.wrong), l.worst.Round(time.Microsecond))
	if len(l.wrong) > 0 {
		t.Errorf("of %d questions some were not answered as before:\n%s", l.asked, strings.Join(l.wrong, "\n"))
	}
}
