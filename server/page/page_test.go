package page

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterdns/clusterdns/observe/traffic"
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// serve is the page of a program that counts, and a worker of it.
func serve(t *testing.T) (handler http.Handler, counting *traffic.Traffic, query func(name, reason string, rcode uint8)) {
	t.Helper()
	counting = traffic.New()
	counting.Set(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { counting.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	until(t, func() bool { return counting.Report(time.Now()).Seconds.Counts != nil })
	batch := traffic.Batch{Recorder: counting.Recorder()}
	query = func(name, reason string, rcode uint8) {
		batch.Begin()
		if s := batch.Count(rcode, 1); s != nil {
			s.Client, s.Type = netip.MustParseAddrPort("10.0.0.1:99"), 1
			domain, err := wire.ParseName(name)
			if err != nil {
				t.Error(err)
			}
			s.SetName(domain)
			s.SetReason([]byte(reason))
		}
		batch.End(time.Now(), time.Millisecond)
	}
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		for _, name := range []string{"web", "api", "<b>", "db"} {
			var b zones.Builder
			b.Start("prod", name)
			b.Address(b.Name(""), netip.MustParseAddr("10.96.0.1"))
			if name == "db" {
				b.Start("prod", "db")
				b.NoNames("0 of 2 endpoints ready")
			}
			records, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			tx.SetService(records)
		}
	})
	return New(Options{
		Traffic: counting, State: func() State { return State{Version: "v1"} },
		Clusters: func() []Cluster { return []Cluster{{"cluster.local.", index}} },
		Corefile: func() []File { return []File{{"Corefile", ". {\n}\n"}} },
		Hosts:    func() []string { return []string{"dns.example.org"} },
		Who:      func(a netip.Addr) string { return map[string]string{"10.0.0.1": "pod prod/web-0"}[a.String()] },
		Source:   func(n uint8) string { return []string{"", "kubernetes"}[n] },
	}), counting, query
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("it does not become so")
		}
	}
}

func request(h http.Handler, method, host, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestBadInput: what is asked wrongly has a status and a sentence, and changes nothing.
func TestBadInput(t *testing.T) {
	h, _, _ := serve(t)
	long := strings.Repeat("a.", 150)
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/", 200, "<title>clusterdns"},
		{"HEAD", "/", 200, ""},
		{"POST", "/", 405, "Not Allowed"},
		{"DELETE", "/api/summary", 405, "Not Allowed"},
		{"PUT", "/api/tail", 405, "Not Allowed"},
		{"GET", "/favicon.ico", 404, "not found"},
		{"GET", "/index.html", 404, "not found"},
		{"GET", "/api/", 404, "not found"},
		{"GET", "/api/summary?x=1", 400, `There is no parameter \"x\"`},
		{"GET", "/api/top?of=all", 400, "of is \\\"all\\\", and must be one of: names, nxdomains, clients, searches."},
		{"GET", "/api/top?n=1000", 400, "must be a number from 1 to 100"},
		{"GET", "/api/top?n=%zz", 400, "malformed"},
		{"GET", "/api/tail?name=" + long, 400, "is not a domain name"},
		{"GET", "/api/tail?rcode=NOPE", 400, `\"NOPE\" is not an rcode such as NXDOMAIN.`},
		{"GET", "/api/tail?client=10.0.0.0/99", 400, "is not a network such as"},
		{"GET", "/api/services?word=" + long, 400, "word is longer than 253 octets"},
		{"GET", "/api/services?zone=other.", 400, "No cluster has the zone"},
		{"GET", "/api/service?namespace=prod", 400, "namespace and name must be given"},
		{"GET", "/api/service?namespace=prod&name=" + strings.Repeat("a", 64), 400, "name is longer than 63 octets"},
		{"GET", "/api/service?namespace=prod&name=none", 404, "There is no such service."},
	} {
		w := request(h, c.method, "localhost:1054", c.path)
		if body := w.Body.String(); w.Code != c.status || !strings.Contains(body, c.says) || len(body) > 1000 && c.path != "/" {
			t.Errorf("%s %.60s: %d %.300s", c.method, c.path, w.Code, body)
		}
		if w.Header().Get("Content-Security-Policy") != policy || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %.60s: headers %v", c.method, c.path, w.Header())
		}
	}
}

// TestHead: HEAD of the stream has its headers, and ends.
func TestHead(t *testing.T) {
	h, counting, _ := serve(t)
	for range traffic.MaxTails {
		defer counting.Leave(counting.Follow(traffic.Filter{}))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for path, status := range map[string]int{"/api/tail": 200, "/api/tail?rcode=NOPE": 400} {
		r, w := httptest.NewRequestWithContext(ctx, "HEAD", path, nil), httptest.NewRecorder()
		r.Host = "localhost"
		h.ServeHTTP(w, r)
		if kind := w.Header().Get("Content-Type"); w.Code != status || (kind == "application/x-ndjson") != (status == 200) ||
			ctx.Err() != nil {
			t.Errorf("HEAD %s: %d %s, %v", path, w.Code, kind, ctx.Err())
		}
	}
}

// TestHost: names that somebody may have pointed at this server are not served.
func TestHost(t *testing.T) {
	h, _, _ := serve(t)
	for host, status := range map[string]int{
		"localhost": 200, "LOCALHOST:1054": 200, "127.0.0.1:1054": 200, "[::1]:1054": 200, "192.0.2.1": 200,
		"dns.example.org": 200, "DNS.example.org.:1054": 200,
		"evil.example": 421, "127.0.0.1.evil.example": 421, "localhost.evil.example:1054": 421, "": 421, "1": 421,
		"<script>": 421,
	} {
		for _, path := range []string{"/", "/api/summary", "/api/tail?rcode=x"} {
			if w := request(h, "GET", host, path); (w.Code == 421) != (status == 421) {
				t.Errorf("%q %s: %d", host, path, w.Code)
			}
		}
	}
}

// TestNothingExternal: the page loads nothing from elsewhere, and has no inline script or style.
func TestNothingExternal(t *testing.T) {
	for _, name := range []string{"index.html", "page.css", "page.js"} {
		content, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(content), "http://www.w3.org/2000/svg", "")
		if bad := regexp.MustCompile(`https?:|//[a-z]+\.|@import|url\(|innerHTML|insertAdjacentHTML|outerHTML|document\.write|eval\(| style=| on[a-z]+="|<script>|<style`).
			FindString(text); bad != "" {
			t.Errorf("%s has %q", name, bad)
		}
	}
}

// get reads the JSON of a path.
func get[V any](t *testing.T, h http.Handler, path string) (v V) {
	t.Helper()
	w := request(h, "GET", "localhost", path)
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %v", path, w.Code, err)
	}
	return v
}

func TestData(t *testing.T) {
	h, counting, query := serve(t)
	query("web.prod.svc.cluster.local", "", 0)
	query("<b>.test", "why <not>", 3)
	query("dead.test", "", 2)
	until(t, func() bool { return len(counting.Failures()) == 2 })
	s := get[Summary](t, h, "/api/summary")
	if s.Total.Queries != 3 || s.Total.Rcodes["SERVFAIL"] != 1 || s.Total.Sources["kubernetes"] != 3 || s.Sample != 1 ||
		s.Version != "v1" || len(s.Hour.Queries) != 60 || len(s.Recent.P99) != 120 || s.Total.Latency["p50"] == 0 {
		t.Errorf("%+v", s)
	}
	if m := get[Most](t, h, "/api/top?of=nxdomains&over=now&n=5"); len(m.Rows) != 1 || m.Rows[0].Name != "<b>.test." ||
		m.Rows[0].Reason != "why <not>" || m.Rows[0].Count != 1 || m.Rows[0].Rate <= 0 {
		t.Errorf("%+v", m)
	}
	if m := get[Most](t, h, "/api/top?of=clients"); len(m.Rows) != 1 || m.Rows[0].Client != "10.0.0.1" ||
		m.Rows[0].Who != "pod prod/web-0" {
		t.Errorf("%+v", m)
	}
	f := get[map[string][]Failure](t, h, "/api/failures")["failures"]
	if len(f) != 2 || f[0].Name+f[0].Type+f[0].Rcode+f[0].Client != "dead.test.ASERVFAIL10.0.0.1" {
		t.Errorf("%+v", f)
	}
	v := get[Services](t, h, "/api/services?namespace=prod&word=B&from=1&n=2")
	if v.Found != 3 || len(v.Services) != 2 || v.Services[0].Name != "db" || v.Services[0].Why == "" ||
		v.Namespaces[0] != (Namespace{"prod", 3}) {
		t.Errorf("%+v", v)
	}
	if v := get[Services](t, h, "/api/services?from=100"); v.Found != 4 || len(v.Services) != 0 {
		t.Errorf("%+v", v)
	}
	r := get[Records](t, h, "/api/service?namespace=prod&name="+url.QueryEscape("<b>"))
	if len(r.Records) != 1 || r.Records[0] != (Record{"<b>.prod.svc.cluster.local.", "A", "10.96.0.1"}) {
		t.Errorf("%+v", r)
	}
	if r := get[Records](t, h, "/api/service?namespace=prod&name=db"); len(r.Records) != 0 || len(r.Notes) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestTail reads queries as they come, over a real connection.
func TestTail(t *testing.T) {
	for _, client := range []string{"10.0.0.0/8", "10.0.0.1", "prod/web-0"} {
		t.Run(client, func(t *testing.T) { testTail(t, client) })
	}
}

func testTail(t *testing.T, client string) {
	h, counting, query := serve(t)
	server := httptest.NewServer(h)
	defer server.Close()
	reply, err := http.Get(server.URL + "/api/tail?name=test&rcode=nxdomain&client=" + client)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	query("web.test", "", 0)
	query("web.other", "", 3)
	query("gone.test", "not there", 3)
	var line Line
	lines := json.NewDecoder(reply.Body)
	for line.Name == "" {
		if err := lines.Decode(&line); err != nil {
			t.Fatal(err)
		}
	}
	if line.Name != "gone.test." || line.Rcode != "NXDOMAIN" || line.Client != "10.0.0.1" || line.Reason != "not there" ||
		line.Source != "kubernetes" || line.Took != 0.001 || line.Sample != 1 || line.Proto != "udp" || line.Who == "" {
		t.Errorf("%+v", line)
	}
	counting.Set(false)
	if rest, err := io.ReadAll(reply.Body); err != nil {
		t.Errorf("%q %v", rest, err)
	}
}

// piped is a listener of one connection, which has no buffer.
type piped struct {
	conn   net.Conn
	taken  bool
	closed chan struct{}
}

func (p *piped) Accept() (net.Conn, error) {
	if !p.taken {
		p.taken = true
		return p.conn, nil
	}
	<-p.closed
	return nil, net.ErrClosed
}

func (p *piped) Close() error   { close(p.closed); return nil }
func (p *piped) Addr() net.Addr { return p.conn.LocalAddr() }

// TestSlowReader: who follows the queries and does not read loses his connection, and its place is free again.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, counting, query := serve(t)
		client, conn := net.Pipe()
		listener := &piped{conn: conn, closed: make(chan struct{})}
		server := &http.Server{Handler: h}
		go server.Serve(listener)
		defer server.Close()
		io.WriteString(client, "GET /api/tail HTTP/1.1\r\nHost: localhost\r\n\r\n")
		for range traffic.MaxTails - 1 {
			defer counting.Leave(counting.Follow(traffic.Filter{}))
		}
		synctest.Wait()
		if counting.Follow(traffic.Filter{}) != nil {
			t.Fatal("nobody follows over the connection")
		}
		began := time.Now()
		tail := (*traffic.Tail)(nil)
		for tail == nil && time.Since(began) < time.Minute {
			query("web.test", "", 0)
			time.Sleep(time.Second)
			tail = counting.Follow(traffic.Filter{})
		}
		if took := time.Since(began); tail == nil || took > 2*writeTimeout {
			t.Errorf("the place is free after %v", took)
		}
		counting.Leave(tail)
	})
}

// TestManyServices: an answer about 10,000 services has a page of them.
func TestManyServices(t *testing.T) {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		for i := range 10_000 {
			var b zones.Builder
			b.Start(fmt.Sprint("namespace-", i%1500), fmt.Sprint("service-", i))
			b.Address(b.Name(""), netip.MustParseAddr("10.96.0.1"))
			records, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			tx.SetService(records)
		}
	})
	p := &page{Options{Clusters: func() []Cluster { return []Cluster{{"cluster.local.", index}} }}}
	w := httptest.NewRecorder()
	respond(w, httptest.NewRequest("GET", "/api/services?n=200&from=9900", nil), p.services)
	var s Services
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Found != 10_000 || len(s.Services) != 100 || len(s.Namespaces) != mostNamespaces || !s.More {
		t.Errorf("%d found, %d listed, %d namespaces, more: %v", s.Found, len(s.Services), len(s.Namespaces), s.More)
	}
}

// TestDocument: the paths that docs/dashboard.md names are answered, with the parameters that it shows.
func TestDocument(t *testing.T) {
	h, _, _ := serve(t)
	text, err := os.ReadFile("../../docs/dashboard.md")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile("(?m)^\\| `(/[^`]*)` \\|").FindAllStringSubmatch(string(text), -1)
	for _, path := range paths {
		switch {
		case strings.HasPrefix(path[1], "/explain"): // of server/explain
		case strings.HasPrefix(path[1], "/api/tail"): // which has no end
			if w := request(h, "GET", "localhost", strings.Replace(path[1], "example.org", "a..b", 1)); w.Code != 400 ||
				!strings.Contains(w.Body.String(), "is not a domain name") {
				t.Errorf("%s: %d %s", path[1], w.Code, w.Body)
			}
		default:
			if w := request(h, "GET", "localhost", path[1]); w.Code != 200 {
				t.Errorf("%s: %d %s", path[1], w.Code, w.Body)
			}
		}
	}
	_, sample, _ := strings.Cut(string(text), "```json\n")
	lines := json.NewDecoder(strings.NewReader(sample))
	lines.DisallowUnknownFields()
	if err := lines.Decode(new(Most)); err != nil {
		t.Errorf("the sample: %v", err)
	}
	if len(paths) != 8 {
		t.Errorf("%d paths", len(paths))
	}
}

// FuzzRequest: whatever is asked, and under whatever name, is answered with JSON or a sentence.
func FuzzRequest(f *testing.F) {
	f.Add("/api/top", "of=names&over=now&n=5", "localhost")
	f.Add("/api/services", "zone=cluster.local.&namespace=prod&word=%ff&from=1&n=2", "127.0.0.1:1054")
	f.Add("/api/service", "namespace=a\\.b&name=%00", "[::1]")
	f.Add("/api/summary", "", "evil.test")
	f.Fuzz(func(t *testing.T, path, query, host string) {
		if strings.HasPrefix(path, "/api/tail") {
			return // which has no end
		}
		h := New(Options{Traffic: traffic.New(), State: func() State { return State{} }, Clusters: func() []Cluster { return nil },
			Corefile: func() []File { return nil }, Hosts: func() []string { return nil },
			Who: func(netip.Addr) string { return "" }, Source: func(uint8) string { return "" }})
		r := &http.Request{Method: "GET", URL: &url.URL{Path: path, RawQuery: query}, Host: host}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %q", w.Code, w.Body)
		}
		if !slices.Contains([]int{200, 301, 307, 400, 404, 421}, w.Code) {
			t.Errorf("%d", w.Code)
		}
	})
}

// TestAtMost: a third search beside two is 503 with a sentence, and the places come free.
func TestAtMost(t *testing.T) {
	started, end := make(chan bool), make(chan bool)
	few := atMost(2)
	slow := few(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { started <- true; <-end }))
	quick := few(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(h http.Handler) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		return w
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { ask(slow) })
		<-started
	}
	if w := ask(quick); w.Code != http.StatusServiceUnavailable || !json.Valid(w.Body.Bytes()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(end)
	both.Wait()
	if w := ask(quick); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
