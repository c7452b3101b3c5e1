package watch

import (
	"context"
	"io"
	"net"
	"net/http"
	"path"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/clusterdns/clusterdns/watch/object"
)

// pipes is a network of two in a bubble of its own time: who listens gets the other end of what is dialled.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// clientsOf is the clients that a source with options would have, of an API server at the other end of network.
func clientsOf(t *testing.T, options Options, network *pipes) map[schema.GroupVersion]rest.Interface {
	t.Helper()
	options.Endpoint = "http://api"
	config, err := restConfig(options)
	if err != nil {
		t.Fatal(err)
	}
	config.Dial = network.Dial
	if err := new(requests).count(config); err != nil {
		t.Fatal(err)
	}
	clients, err := newClients(config, options.Selection)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// slowLists is an API server that takes a second for the head of a list and another for its end, and never ends a
// watch.
type slowLists struct {
	mu             sync.Mutex
	underWay, most int
}

func (s *slowLists) count(change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay += change
	s.most = max(s.most, s.underWay)
}

func (s *slowLists) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if isWatch(r) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	s.count(1)
	defer s.count(-1)
	time.Sleep(time.Second)
	io.WriteString(w, map[string]string{
		"services":       `{"kind": "ServiceList", "apiVersion": "v1", `,
		"namespaces":     `{"kind": "NamespaceList", "apiVersion": "v1", `,
		"endpointslices": `{"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", `,
	}[path.Base(r.URL.Path)])
	w.(http.Flusher).Flush()
	time.Sleep(time.Second)
	io.WriteString(w, `"items": []}`)
}

// TestMaxInflight: apiserver_max_inflight bounds the lists that are under way at a time. Each of them has its turn, and
// a watch keeps nobody from it.
func TestMaxInflight(t *testing.T) {
	for inflight, want := range map[int]int{0: 3, 1: 1, 2: 2} {
		synctest.Test(t, func(t *testing.T) {
			network, api := newPipes(), new(slowLists)
			server := http.Server{Handler: api}
			go server.Serve(network)
			defer server.Close()
			clients := clientsOf(t, Options{MaxInflight: inflight}, network)
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()

			var asking sync.WaitGroup
			for _, r := range object.Resources {
				if !r.When(object.Selection{}) {
					continue
				}
				client := clients[r.Versions[0]]
				asking.Go(func() {
					stream, err := client.Get().Resource(
						r.Plural,
					).VersionedParams(
						&metav1.ListOptions{Watch: true},
						metav1.ParameterCodec,
					).Stream(
						ctx,
					)
					if err != nil {
						t.Errorf("%d at a time: the watch of %s: %v", inflight, r.Plural, err)
						return
					}
					defer stream.Close()
					for range 2 {
						if err := client.Get().Resource(r.Plural).Do(ctx).Error(); err != nil {
							t.Errorf("%d at a time: the list of %s: %v", inflight, r.Plural, err)
						}
					}
				})
			}
			asking.Wait()
			if most := api.most; most != want {
				t.Errorf("%d at a time: %d were under way, want %d", inflight, most, want)
			}
		})
	}
}

// TestRateOfRequests: apiserver_qps and apiserver_burst are the rate of the one limiter that all clients have.
func TestRateOfRequests(t *testing.T) {
	tests := []struct {
		options Options
		qps     float32
		burst   int
	}{
		{Options{}, rest.DefaultQPS, rest.DefaultBurst},
		{Options{QPS: 12.5, Burst: 20}, 12.5, 20},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			all := 0
			for version, client := range clientsOf(t, tt.options, newPipes()) {
				limiter := client.GetRateLimiter()
				if got := limiter.QPS(); got != tt.qps {
					t.Errorf("%v: %v requests a second, want %v", version, got, tt.qps)
				}
				for limiter.TryAccept() { // time stands still
					all++
				}
			}
			if all != tt.burst {
				t.Errorf("%v requests at once, want %d", all, tt.burst)
			}
		})
	}
}
