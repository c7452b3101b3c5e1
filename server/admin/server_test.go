package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/server/listen"
	"github.com/clusterdns/clusterdns/server/metrics"
)

// get asks an admin endpoint, over a connection of its own.
func get(t *testing.T, a *Server, asked, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	reply, err := client.Get("http://" + a.Addresses()[asked].String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

func run(t *testing.T, o Options) *Server {
	o.Logger = slog.New(slog.DiscardHandler)
	a := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { a.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return a
}

func TestEndpoints(t *testing.T) {
	missing := []string{"kubernetes", "hosts"}
	a := run(t, Options{NotReady: func() []string { return missing }, Metrics: metrics.New("1", "2").Handler()})
	const health, other = "127.0.0.1:0", "localhost:0"
	if err := a.Set(Endpoints{Health: []string{health}, Ready: []string{health, other}, Prometheus: []string{other},
		Pprof: []string{other}}); err != nil {
		t.Fatal(err)
	}
	check := func(asked, path string, code int, body string) {
		t.Helper()
		if gotCode, gotBody := get(t, a, asked, path); gotCode != code || body != "*" && gotBody != body {
			t.Errorf("%s%s: %d %q, want %d %q", asked, path, gotCode, gotBody, code, body)
		}
	}
	check(health, "/health", 200, "OK")
	check(health, "/ready", 503, "kubernetes,hosts")
	check(health, "/metrics", 404, "*")
	check(other, "/metrics", 200, "*")
	check(other, "/", 200, "clusterdns: see /metrics\n")
	check(other, "/else", 404, "*")
	check(other, "/debug/pprof/cmdline", 200, "*")
	check(other, "/health", 404, "*")
	missing = nil
	check(other, "/ready", 200, "OK")
	missing = []string{"kubernetes"}
	check(other, "/ready", 200, "OK") // once ready, always ready

	a.Lameduck(t.Context(), time.Millisecond)
	check(health, "/health", 200, "OK")
	check(health, "/ready", 503, "Shutting down")
}

func TestReadyContinuously(t *testing.T) {
	missing := []string(nil)
	a := run(t, Options{NotReady: func() []string { return missing }})
	if err := a.Set(Endpoints{Ready: []string{"127.0.0.1:0"}, Continuously: true}); err != nil {
		t.Fatal(err)
	}
	get(t, a, "127.0.0.1:0", "/ready")
	missing = []string{"kubernetes"}
	if code, _ := get(t, a, "127.0.0.1:0", "/ready"); code != 503 {
		t.Errorf("status %d after what was ready is not any more", code)
	}
}

// A reload keeps the sockets that it can, opens new ones before it closes old ones, and changes nothing when it fails.
func TestReload(t *testing.T) {
	a := run(t, Options{})
	const first, second = "127.0.0.1:0", "localhost:0"
	if err := a.Set(Endpoints{Health: []string{first}}); err != nil {
		t.Fatal(err)
	}
	kept := a.Addresses()[first].String()
	if err := a.Set(Endpoints{Health: []string{second}, Ready: []string{first}}); err != nil {
		t.Fatal(err)
	}
	if now := a.Addresses()[first].String(); now != kept {
		t.Errorf("the socket moved from %s to %s", kept, now)
	}
	if code, _ := get(t, a, first, "/ready"); code != 200 {
		t.Errorf("/ready at the kept socket: %d", code)
	}
	if code, _ := get(t, a, first, "/health"); code != 404 {
		t.Errorf("/health at the kept socket: %d", code)
	}
	taken := a.Addresses()[second].String()
	if err := a.Set(Endpoints{Health: []string{first, "127.0.0.1:00", taken, "host.invalid:80"}}); err == nil {
		t.Error("a bad address was accepted")
	}
	if got := a.Addresses(); len(got) != 2 {
		t.Errorf("after a failed reload: %v", got)
	}
	if err := a.Set(Endpoints{Health: []string{first}}); err != nil {
		t.Fatal(err)
	}
	if got := a.Addresses(); len(got) != 1 {
		t.Errorf("after the second was dropped: %v", got)
	}
}

// A socket of another process that would share its port, as CoreDNS's endpoints do, is refused, whatever of ours leaves
// meanwhile.
func TestNobodyElseMayReuse(t *testing.T) {
	foreign, err := listen.Reusing().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	_, port, _ := net.SplitHostPort(foreign.Addr().String())
	a := run(t, Options{})
	for _, before := range []Endpoints{{}, {Health: []string{"127.0.0.1:0"}}} {
		if err := a.Set(before); err != nil {
			t.Fatal(err)
		}
		for _, address := range []string{"127.0.0.1:" + port, "localhost:" + port, "0.0.0.0:" + port, ":" + port} {
			if err := a.Set(Endpoints{Health: []string{address}}); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("%s beside another process: %v", address, err)
			}
		}
	}
}

// The socket of an address that is written otherwise from now on serves on: a connection to one of two that share an address
// would be reset if it came just before the old one closes.
func TestSameAddress(t *testing.T) {
	a := run(t, Options{})
	if err := a.Set(Endpoints{Health: []string{"127.0.0.1:0"}}); err != nil {
		t.Fatal(err)
	}
	before := a.sockets["127.0.0.1:0"]
	for _, address := range []string{before.Addr().String(), strings.Replace(before.Addr().String(), "127.0.0.1", "localhost", 1)} {
		if err := a.Set(Endpoints{Health: []string{address}}); err != nil || len(a.sockets) != 1 || a.sockets[address] != before {
			t.Errorf("%s: %v, %v instead of %v", address, err, a.sockets, before.Addr())
		}
		if code, _ := get(t, a, address, "/health"); code != 200 {
			t.Errorf("%s is %d", address, code)
		}
	}
}

// A connection ends with its reply, whatever its client asks for, and gives its place back.
func TestNoKeepAlive(t *testing.T) {
	a := run(t, Options{})
	if err := a.Set(Endpoints{Health: []string{"127.0.0.1:0"}}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", a.Addresses()["127.0.0.1:0"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if reply, err := io.ReadAll(conn); err != nil || !strings.Contains(string(reply), "OK") {
		t.Errorf("%q %v", reply, err)
	}
	for a.places()["127.0.0.1:0"].Counts().Open > 0 { // the client sees the end before the server gives the place back
		time.Sleep(time.Millisecond)
	}
}

// Clients that have all places that they may have, and send no request, do not keep one out that does, even of the same
// address: one of their connections is closed. It is the oldest whose half request the server has read by then.
func TestUnfinishedGoFirst(t *testing.T) {
	a := run(t, Options{})
	const asked = "127.0.0.1:0"
	if err := a.Set(Endpoints{Health: []string{asked}}); err != nil {
		t.Fatal(err)
	}
	address := a.Addresses()[asked].String()
	var silent []net.Conn
	for range maxConnsEach {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET /health HTTP/1.1\r\nX-")
		silent = append(silent, conn)
	}
	if code, body := get(t, a, asked, "/health"); code != 200 {
		t.Errorf("%d %q", code, body)
	}
	if counts := a.places()[asked].Counts(); counts.Evicted != 1 || counts.Refused != 0 {
		t.Errorf("%+v", counts)
	}
	closed := make(chan bool)
	for _, conn := range silent {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		go func() {
			n, err := conn.Read(make([]byte, 1)) // the others are told when the time for their requests is over
			closed <- n == 0 && !errors.Is(err, os.ErrDeadlineExceeded)
		}()
	}
	gone := 0
	for range silent {
		if <-closed {
			gone++
		}
	}
	if gone == 0 {
		t.Error("none of them is closed")
	}
}

// A request that panics is answered 500 and counted, and the next one is served.
func TestPanicOfOneRequest(t *testing.T) {
	a := run(t, Options{Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("scripted") })})
	const asked = "127.0.0.1:0"
	if err := a.Set(Endpoints{Health: []string{asked}, Prometheus: []string{asked}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/metrics": 500, "/health": 200} {
		if code, body := get(t, a, asked, path); code != want {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if n := a.panics.Total(); n != 1 {
		t.Errorf("%d panics", n)
	}
}
