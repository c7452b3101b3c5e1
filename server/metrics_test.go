package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/testdata/scrape"
)

// oldAPI is an API server that knows lists and watches, and no streams of all objects. Nothing happens in its cluster.
func oldAPI(w http.ResponseWriter, r *http.Request) {
	group := strings.TrimPrefix(path.Dir(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/apis"), "/api")), "/")
	kind := map[string]string{"services": "Service", "namespaces": "Namespace",
		"endpointslices": "EndpointSlice"}[path.Base(r.URL.Path)]
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Query().Has("sendInitialEvents"):
		http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"BadRequest","code":400}`,
			http.StatusBadRequest)
	case r.URL.Query().Has("watch"):
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	default:
		fmt.Fprintf(w, `{"kind":"%sList","apiVersion":"%s","metadata":{"resourceVersion":"1"},"items":[]}`, kind, group)
	}
}

// What is asked of the API server for each of three kinds: a stream, which is refused, a list, a list of one object
// before the watch, the watch.
func TestRequestMetrics(t *testing.T) {
	var away atomic.Bool // then it ends connections, and keeps its port
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			panic(http.ErrAbortHandler)
		}
		oldAPI(w, r)
	}))
	defer api.Close()
	c, err := config.Parse("Corefile", []byte(". {\n kubernetes cluster.local {\n endpoint "+api.URL+"\n }\n}\n"),
		config.Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	c.Listeners[0].Addresses = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	p := NewProgram(io.Discard, slog.New(slog.DiscardHandler))
	defer p.Close()
	if err := p.Apply(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	scrape.AwaitLines(t, p.metrics, strings.ReplaceAll(`
coredns_plugin_enabled{name="kubernetes",server="SERVER",view="",zone="."} 1
coredns_panics_total 0
`, "SERVER", p.listeners[socket{c.Listeners[0].Scheme, c.Listeners[0].Addresses[0]}].Label()))
	scrape.AwaitLines(t, p.metrics, strings.ReplaceAll(`
coredns_kubernetes_rest_client_requests_total{code="200",host="HOST",method="GET"} 9
coredns_kubernetes_rest_client_requests_total{code="400",host="HOST",method="GET"} 3
coredns_kubernetes_rest_client_request_duration_seconds_count{host="HOST",verb="GET"} 6
coredns_kubernetes_rest_client_request_duration_seconds_bucket{host="HOST",verb="GET",le="10"} 6
coredns_kubernetes_rest_client_rate_limiter_duration_seconds_count{host="HOST",verb="GET"} 6
coredns_kubernetes_rest_client_rate_limiter_duration_seconds_bucket{host="HOST",verb="GET",le="10"} 6
`, "HOST", strings.TrimPrefix(api.URL, "http://")))
	away.Store(true)
	api.CloseClientConnections()
	until(t, func() bool {
		return strings.Contains(scrape.Text(t, p.metrics),
			`coredns_kubernetes_rest_client_requests_total{code="<error>",host="127.0.0.1:`)
	})
}
