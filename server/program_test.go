package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/admin"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/server/logs"
	"github.com/clusterdns/clusterdns/server/metrics"
	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/clusterdns/clusterdns/testdata/scrape"
)

// anyPort is where the Corefiles of tests listen: on a free port of loopback.
var anyPort = socket{resolver.Do53, netip.MustParseAddrPort("127.0.0.1:0")}

func exchange(t testing.TB, network string, to netip.AddrPort, name string, qtype uint16) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network, Timeout: 10 * time.Second}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, qtype), to.String())
	if err != nil {
		t.Fatalf("%s over %s: %v", name, network, err)
	}
	return reply
}

// until waits for what another goroutine is about to do.
func until(t testing.TB, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still waiting after a minute")
		}
	}
}

// get asks an admin endpoint, over a connection of its own.
func get(t *testing.T, a *admin.Server, asked, path string) (int, string) {
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

// town is a cluster of one service.
const town = "apiVersion: v1\nkind: Service\nmetadata: {namespace: prod, name: web}\nspec: {clusterIP: 10.96.0.8, " +
	"ports: [{name: http, port: 80}]}\n"

// web is a name of the town.
const web = "web.prod.svc.cluster.local."

// adminAddress is where test programs have their admin endpoints.
const adminAddress = "127.0.0.1:0"

// running is a whole program that serves a Corefile of a folder of its own, as the command does.
type running struct {
	*Program
	folder  string
	log     *lockedBuffer
	signals chan os.Signal
	loads   atomic.Int64 // of the Corefile
	end     context.CancelFunc
	ended   chan struct{}
}

// launch runs a program with a town until the test ends.
func launch(t *testing.T, corefile string) *running {
	t.Helper()
	r := &running{folder: t.TempDir(), log: &lockedBuffer{}, signals: make(chan os.Signal), ended: make(chan struct{})}
	if err := os.Mkdir(filepath.Join(r.folder, "town"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.write(t, "town/town.yaml", town)
	r.write(t, "Corefile", corefile)
	loaded, err := r.load()
	if err != nil {
		t.Fatal(err)
	}
	r.Program = NewProgram(r.log, slog.New(logs.NewHandler(r.log, slog.LevelInfo)))
	if err := r.Apply(t.Context(), loaded); err != nil {
		r.Close()
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.end = context.WithCancel(context.Background())
	go func() {
		defer close(r.ended)
		r.Run(ctx, r.load, r.signals)
	}()
	t.Cleanup(r.stop)
	return r
}

// stop ends the program, as SIGTERM does, and returns after it has ended.
func (r *running) stop() {
	r.end()
	<-r.ended
}

// load reads the Corefile. It is looked at much more often than a Corefile can ask for.
func (r *running) load() (*config.Config, error) {
	r.loads.Add(1)
	c, err := config.Load(config.Settings{Conf: filepath.Join(r.folder, "Corefile")}, nil)
	if err == nil && c.Reload.Interval > 0 {
		c.Reload = config.Reload{Interval: 5 * time.Millisecond}
	}
	return c, err
}

func (r *running) write(t *testing.T, file, text string) {
	t.Helper()
	at := filepath.Join(r.folder, file)
	if err := os.WriteFile(at+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at+".new", at); err != nil { // whole, or not at all
		t.Fatal(err)
	}
}

// said is how many lines of the log have text in them.
func (r *running) said(text string) (lines int) {
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, text) {
			lines++
		}
	}
	return lines
}

// reload has the program read corefile on the signal, and waits until the log has a line more with outcome.
func (r *running) reload(t *testing.T, corefile, outcome string) {
	t.Helper()
	before := r.said(outcome)
	r.write(t, "Corefile", corefile)
	r.signals <- syscall.SIGUSR1
	until(t, func() bool { return r.said(outcome) > before })
}

// What the log says after a reload.
const (
	reloaded = "Reloading complete"
	refused  = "reload: failed"
)

// metric is the value of one series, "" when there is none.
func (r *running) metric(t *testing.T, series string) string {
	t.Helper()
	line := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(series) + " (.*)$")
	found := line.FindStringSubmatch(scrape.Text(t, r.metrics))
	if found == nil {
		return ""
	}
	return found[1]
}

// answer is the TTL, type and data of the first record that the program answers with.
func (r *running) answer(t *testing.T, name string) string {
	t.Helper()
	return firstRecord(exchange(t, "udp", r.Addresses()[0], name, dns.TypeA))
}

func firstRecord(reply *dns.Msg) string {
	if len(reply.Answer) == 0 {
		return dns.RcodeToString[reply.Rcode]
	}
	header := reply.Answer[0].Header()
	return fmt.Sprint(header.Ttl, " ", dns.TypeToString[header.Rrtype], " ",
		strings.TrimPrefix(reply.Answer[0].String(), header.String()))
}

// outside is an upstream that answers every name with the address 192.0.2.7; names at and below slow.test. only after
// release.
type outside struct {
	address netip.AddrPort
	asked   atomic.Int64
	release func()
	free    chan struct{} // closed by release
}

func (o *outside) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	o.asked.Add(1)
	if dns.IsSubDomain("slow.test.", question.Question[0].Name) {
		<-o.free
	}
	reply := new(dns.Msg).SetReply(question)
	reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: question.Question[0].Name, Rrtype: dns.TypeA,
		Class: dns.ClassINET, Ttl: 3600}, A: net.IPv4(192, 0, 2, 7)}}
	w.WriteMsg(reply)
}

func newOutside(t *testing.T) *outside {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{address: packets.LocalAddr().(*net.UDPAddr).AddrPort(), free: make(chan struct{})}
	o.release = sync.OnceFunc(func() { close(o.free) })
	started, ended := make(chan struct{}), make(chan struct{})
	server := &dns.Server{PacketConn: packets, Handler: o, NotifyStartedFunc: func() { close(started) }}
	go func() {
		defer close(ended)
		server.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() {
		o.release()
		server.Shutdown()
		<-ended
	})
	return o
}

// interview asks the program one question after the other until the function that it returns is called. None may be
// lost or fail.
func (r *running) interview(t *testing.T, to netip.AddrPort, names ...string) (end func() (asked int)) {
	t.Helper()
	stop := make(chan struct{})
	counts := make([]int, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		conn, err := dns.Dial("udp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		asking.Go(func() {
			defer conn.Close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				conn.SetDeadline(time.Now().Add(10 * time.Second))
				question := new(dns.Msg).SetQuestion(name, dns.TypeA)
				if err := conn.WriteMsg(question); err != nil {
					t.Errorf("%s after %d answers: %v", name, counts[i], err)
					return
				}
				reply, err := conn.ReadMsg()
				if err != nil || reply.Id != question.Id || len(reply.Answer) != 1 {
					t.Errorf("%s after %d answers: %v %v", name, counts[i], reply, err)
					return
				}
				counts[i]++
			}
		})
	}
	return func() (asked int) {
		close(stop)
		asking.Wait()
		for _, n := range counts {
			asked += n
		}
		return asked
	}
}

// TestReload serves a new Corefile on the signal, and when it finds the file changed, while questions are asked without
// a pause. Sockets, source and cache are the same in all of them.
func TestReload(t *testing.T) {
	upstream := newOutside(t)
	corefile := func(ttl int, more string) string {
		return fmt.Sprintf(".:0 {\n bind 127.0.0.1\n cache 3600\n forward . %s\n kubernetes cluster.local {\n  "+
			"manifests town\n  ttl %d\n }\n%s\n}\n", upstream.address, ttl, more)
	}
	r := launch(t, corefile(5, ""))
	if err := r.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.answer(t, web); got != "5 A 10.96.0.8" {
		t.Fatal(got)
	}
	r.answer(t, "outside.test.")
	listener, source := r.listeners[anyPort].Listener, onlySource(r)
	end := r.interview(t, r.Addresses()[0], web, "outside.test.")
	for ttl := range 10 {
		r.reload(t, corefile(ttl, ""), reloaded)
		if got := r.answer(t, web); got != fmt.Sprint(ttl, " A 10.96.0.8") {
			t.Errorf("reload to TTL %d: %s", ttl, got)
		}
	}
	r.reload(t, corefile(10, "reload"), reloaded)
	r.write(t, "Corefile", corefile(11, "reload"))
	until(t, func() bool { return r.said(reloaded) == 12 })
	if got := r.answer(t, web); got != "11 A 10.96.0.8" {
		t.Errorf("after the file changed: %s", got)
	}
	r.write(t, "Corefile", corefile(11, "# a comment\nreload"))
	looked := r.loads.Load()
	until(t, func() bool { return r.loads.Load() >= looked+2 }) // the first may have read the file as it was before
	if asked := end(); asked < 20 {
		t.Errorf("%d questions are no stream", asked)
	}
	if n := r.said(reloaded); n != 12 {
		t.Errorf("%d reloads, want 12: a comment changes nothing", n)
	}
	if r.listeners[anyPort].Listener != listener {
		t.Error("the sockets are others")
	}
	if onlySource(r) != source {
		t.Error("the source is another one")
	}
	if n := r.said("manifests: folder read"); n != 1 {
		t.Errorf("the manifests were read %d times", n)
	}
	if n := upstream.asked.Load(); n != 1 {
		t.Errorf("the cache was lost: the upstream was asked %d times", n)
	}
}

// onlySource is the one source of a program that has one.
func onlySource(r *running) *source {
	for _, s := range r.sources {
		return s
	}
	return nil
}

// TestReloadFails: a Corefile that cannot be served is told in one line, counted, and changes nothing.
func TestReloadFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	const good = ".:0 {\n bind 127.0.0.1\n prometheus 127.0.0.1:0\n kubernetes cluster.local {\n  manifests town\n }\n}\n"
	r := launch(t, good)
	if err := r.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	end := r.interview(t, r.Addresses()[0], web)
	for i, bad := range []struct{ corefile, want string }{
		{".:0 {\n forwrad . 192.0.2.1\n}\n", `/Corefile:2: unknown directive "forwrad" (did you mean "forward"?)`},
		{good + "other:" + port + " {\n bind 127.0.0.1\n}\n", "/Corefile:8: listen on 127.0.0.1:" + port +
			": another process, or another instance of this server, has the TCP port: address already in use"},
		{strings.Replace(good, ":0\n", ":"+port+"\n", 1), "/Corefile:3: prometheus: listen on 127.0.0.1:" + port +
			": another process, or another directive, has the TCP port: address already in use"},
		{"", "/Corefile:1: the file has no server block"},
		{".:0 {\n rewrite name regex (a b\n}\n",
			`/Corefile:2: rewrite: got "(a", wants a regular expression: error parsing regexp: missing closing ): ` + "`(a`"},
		{".:0 {\n dns64 64:ff9b::/95\n}\n", `/Corefile:2: dns64: got "64:ff9b::/95", ` +
			`wants an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits such as 64:ff9b::/96`},
		{".:0 {\n acl {\n  block net 10.0.0.0/33\n }\n}\n", `/Corefile:3: acl: block: got "10.0.0.0/33", ` +
			`wants an address, a network such as 10.0.0.0/8, or *`},
	} {
		r.reload(t, bad.corefile, refused)
		if !strings.HasSuffix(r.log.String(), bad.want+"\n") {
			t.Errorf("the log does not end in %q:\n%s", bad.want, r.log)
		}
		if n := r.said(refused); n != i+1 {
			t.Errorf("%d lines after %d failures", n, i+1)
		}
		if got := r.metric(t, "coredns_reload_failed_total"); got != fmt.Sprint(i+1) {
			t.Errorf("coredns_reload_failed_total is %q after %d failures", got, i+1)
		}
	}
	if got := r.Addresses(); len(got) != 1 {
		t.Errorf("listens on %v", got)
	}
	end()
	r.reload(t, strings.Replace(good, "manifests town", "manifests town\n  ttl 7", 1), reloaded)
	if got := r.answer(t, web); got != "7 A 10.96.0.8" {
		t.Errorf("after the mistakes were mended: %s", got)
	}
}

// TestFailureIsSaidOnce: a file that stays bad is told and counted once, and tried again at each look; so is the next
// mistake, and the same one in a file that has changed elsewhere. Meanwhile a metric says that it is not served.
func TestFailureIsSaidOnce(t *testing.T) {
	const good = ".:0 {\n bind 127.0.0.1\n reload\n prometheus " + adminAddress + "\n}\n"
	r := launch(t, good)
	check := func(failures int, current string) {
		t.Helper()
		looked := r.loads.Load()
		until(t, func() bool { return r.loads.Load() >= looked+3 })
		if n := r.said(refused); n != failures {
			t.Errorf("%d lines for %d mistakes:\n%s", n, failures, r.log)
		}
		if got := r.metric(t, "coredns_reload_failed_total"); got != strconv.Itoa(failures) {
			t.Errorf("%s failures counted, want %d", got, failures)
		}
		if got := r.metric(t, "clusterdns_config_current"); got != current {
			t.Errorf("clusterdns_config_current is %s, want %s", got, current)
		}
	}
	check(0, "1")
	for i, bad := range []string{"forwrad", "erors", "forwrad", "forwrad\n errors"} {
		r.write(t, "Corefile", ".:0 {\n "+bad+"\n}\n")
		until(t, func() bool { return r.said(refused) == i+1 })
		check(i+1, "0")
	}
	r.write(t, "Corefile", good)
	check(4, "1")
	if n := r.said("reload: the Corefile on disk is again the one that is served"); n != 1 {
		t.Errorf("%d lines say that all is well, want 1:\n%s", n, r.log)
	}
	r.write(t, "Corefile", ".:0 {\n forwrad\n}\n")
	until(t, func() bool { return r.said(refused) == 5 })
	check(5, "0")
}

// TestHostsMetrics: the entries of each hosts file are counted by its name, and the time of the newest is no sum.
func TestHostsMetrics(t *testing.T) {
	folder := t.TempDir()
	at := func(name, text string, age time.Duration) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1_700_000_000, 0).Add(-age)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
		return file
	}
	first, second := at("first", "10.0.0.1 a.test b.test\n", time.Hour), at("second", "10.0.0.2 a.test\n", 0)
	none := filepath.Join(folder, "none")
	r := launch(t, fmt.Sprintf("a.test:0 {\n hosts %s\n}\nb.test:0 {\n hosts %s\n}\nc.test:0 {\n hosts %s . {\n  no_reverse\n }\n}\n"+
		"d.test:0 {\n hosts %s {\n  10.0.0.3 d.test\n }\n}\n", first, first, second, none))
	for file, want := range map[string]string{first: "4", second: "1", none: "2"} {
		if got := r.metric(t, fmt.Sprintf("coredns_hosts_entries{hostsfile=%q}", file)); got != want {
			t.Errorf("%s has %s entries, want %s", file, got, want)
		}
	}
	if got := r.metric(t, "coredns_hosts_reload_timestamp_seconds"); got != "1.7e+09" {
		t.Errorf("the newest file is of %s", got)
	}
}

// TestReady: only blocks with `ready` count, each with all its sources.
func TestReady(t *testing.T) {
	const away = "kubernetes away.local {\n  endpoint http://127.0.0.1:1\n }"
	const here = "kubernetes cluster.local {\n  manifests town\n }"
	for _, c := range []struct {
		name, first, second string
		code                int
	}{
		{"the read one has it", here + "\n ready " + adminAddress, away, 200},
		{"the other one has it", here, away + "\n ready " + adminAddress, 503},
		{"both have it", here + "\n ready " + adminAddress, away + "\n ready " + adminAddress, 503},
		{"one has it, with both sources", here + "\n " + away + "\n ready " + adminAddress, "log", 503},
		{"no source is its own", "ready " + adminAddress, away + "\n " + here, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := launch(t, ".:0 {\n bind 127.0.0.1\n "+c.first+"\n}\naway.local:0 {\n bind 127.0.0.1\n "+c.second+"\n}\n")
			until(t, func() bool { return r.answer(t, web) == "5 A 10.96.0.8" || !strings.Contains(c.first, "town") })
			code, body := get(t, r.admin, adminAddress, "/ready")
			if code != c.code || code == 503 && !strings.HasPrefix(body, "kubernetes") {
				t.Errorf("%d %q, want %d", code, body, c.code)
			}
		})
	}
}

// lockWatcher is written to, and emitted to, by what must not hold up probes meanwhile.
type lockWatcher struct {
	t *testing.T
	p *Program
}

func (w lockWatcher) Write(line []byte) (int, error) {
	if w.p.mu.TryLock() {
		w.p.mu.Unlock()
	} else {
		w.t.Errorf("probes wait for %s", line)
	}
	return len(line), nil
}

// Whoever asks the parts of the program, which may take its time, or prints to a pipe that nobody reads, does not hold
// up probes.
func TestProbesDoNotWait(t *testing.T) {
	r := launch(t, ".:0 {\n bind 127.0.0.1\n kubernetes cluster.local {\n  manifests town\n }\n}\n")
	w := lockWatcher{t, r.Program}
	sources := 0
	r.samples(func(s metrics.Sample) {
		fmt.Fprintln(w, s.Name)
		if s.Name == "clusterdns_index_services" {
			sources++
		}
	})
	if sources != 1 {
		t.Errorf("%d sources", sources)
	}
	r.announce(w, "1", "2")
}

// TestReloadWhileClusterIsAway: a source that could not be read yet does not hold up what else has changed, a new one
// does.
func TestReloadWhileClusterIsAway(t *testing.T) {
	const corefile = ".:0 {\n bind 127.0.0.1\n kubernetes away.local {\n  endpoint http://127.0.0.1:1\n  " +
		"startup_timeout 1ms\n }\n hosts {\n  192.0.2.8 new.test\n  fallthrough\n }\n}\n"
	r := launch(t, corefile)
	r.reload(t, strings.Replace(corefile, ".8", ".9", 1), reloaded)
	r.reload(t, strings.Replace(corefile, "127.0.0.1:1", "127.0.0.1:2", 1), refused)
	if !strings.Contains(r.log.String(), "/Corefile:3: kubernetes: the cluster could not be read within 1ms (option "+
		"startup_timeout)\n") {
		t.Error(r.log)
	}
	if got := r.answer(t, "new.test."); got != "3600 A 192.0.2.9" {
		t.Error(got)
	}
}

// TestEndWhileReloadWaits: a reload that the end interrupts has not failed.
func TestEndWhileReloadWaits(t *testing.T) {
	const corefile = ".:0 {\n bind 127.0.0.1\n kubernetes away.local {\n  endpoint http://127.0.0.1:1\n  " +
		"startup_timeout 1h\n }\n}\n"
	r := launch(t, corefile)
	r.write(t, "Corefile", strings.Replace(corefile, "127.0.0.1:1", "127.0.0.1:2", 1))
	r.signals <- syscall.SIGUSR1
	r.stop()
	if n := r.Program.reloads.failed.Load(); n != 0 || r.said(refused) != 0 {
		t.Errorf("%d failures:\n%s", n, r.log)
	}
}

// TestSourceIsShared: blocks with equal options have one source, and its metrics keep their label while other sources
// come and go. The label is where the objects come from.
func TestSourceIsShared(t *testing.T) {
	const head = ".:0 {\n bind 127.0.0.1\n prometheus " + adminAddress +
		"\n kubernetes cluster.local {\n  manifests town\n }\n}\n"
	const shared = "in-addr.arpa:0 {\n bind 127.0.0.1\n kubernetes cluster.local in-addr.arpa {\n  manifests town\n  " +
		"ttl 9\n }\n}\n"
	other := strings.NewReplacer("in-addr", "ip6", "manifests town", "manifests town\n  labels app=db").Replace(shared)
	r := launch(t, head+shared)
	services := func(label string) string {
		return r.metric(t, `clusterdns_index_services{source="`+label+`"}`)
	}
	check := func(sources int, labels ...string) {
		t.Helper()
		if err := r.Synced(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(r.sources) != sources {
			t.Errorf("%d sources, want %d", len(r.sources), sources)
		}
		for i, want := range labels {
			label := filepath.Join(r.folder, "town")
			if i > 0 {
				label += fmt.Sprintf(" (%d)", i+1)
			}
			if got := services(label); got != want {
				t.Errorf("source %d has %q services, want %q", i, got, want)
			}
		}
	}
	check(1, "2", "")
	reply := exchange(t, "udp", r.Addresses()[0], "8.0.96.10.in-addr.arpa.", dns.TypePTR)
	if got := firstRecord(reply); got != "9 PTR "+web {
		t.Errorf("the second block answers %s", got)
	}
	r.reload(t, other+head+shared, reloaded)
	check(2, "2", "0", "")
	r.reload(t, other, reloaded)
	check(1, "", "0", "")
	r.reload(t, head+other, reloaded)
	check(2, "2", "0", "") // a name that nobody has is free again
	if n := r.said("manifests: folder read"); n != 3 {
		t.Errorf("the manifests were read %d times, for three sources", n)
	}
}

// askSlow asks a program that forwards to upstream, over each transport, what only comes when upstream is released.
// await checks that it came.
func askSlow(t *testing.T, r *running, upstream *outside) (await func()) {
	t.Helper()
	var conns []*dns.Conn
	for _, network := range []string{"udp", "tcp"} {
		conn, err := dns.Dial(network, r.Addresses()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		conn.WriteMsg(new(dns.Msg).SetQuestion(network+".slow.test.", dns.TypeA))
		conns = append(conns, conn)
	}
	until(t, func() bool { return upstream.asked.Load() == 2 })
	return func() {
		t.Helper()
		for _, conn := range conns {
			if reply, err := conn.ReadMsg(); err != nil || firstRecord(reply) != "3600 A 192.0.2.7" {
				t.Errorf("over %s: %v %v", conn.LocalAddr().Network(), reply, err)
			}
		}
	}
}

// TestQueryWaitsThroughReload: what waits for a slow upstream gets its answer from the configuration that it came to.
func TestQueryWaitsThroughReload(t *testing.T) {
	upstream := newOutside(t)
	r := launch(t, fmt.Sprintf(".:0 {\n bind 127.0.0.1\n forward . %s {\n  prefer_udp\n }\n}\n", upstream.address))
	await := askSlow(t, r, upstream)
	r.reload(t, ".:0 {\n bind 127.0.0.1\n hosts {\n  192.0.2.8 new.test\n }\n}\n", reloaded)
	if got := r.answer(t, "new.test."); got != "3600 A 192.0.2.8" {
		t.Errorf("the new configuration answers %s", got)
	}
	upstream.release()
	await()
}

// TestQueryWaitsThroughEnd: so does what waits when the program is told to end. Until it has, /health says so.
func TestQueryWaitsThroughEnd(t *testing.T) {
	upstream := newOutside(t)
	port := programs.Free(t) // nobody listens there when the program does no more
	r := launch(t, fmt.Sprintf(".:%s {\n bind 127.0.0.1\n health 127.0.0.1:0\n ready 127.0.0.1:0\n forward . %s {\n  "+
		"prefer_udp\n }\n}\n", port, upstream.address))
	await := askSlow(t, r, upstream)
	r.end()
	until(t, func() bool {
		conn, err := net.Dial("tcp", r.Addresses()[0].String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if code, _ := get(t, r.admin, adminAddress, "/health"); code != 200 {
		t.Errorf("/health is %d", code)
	}
	if code, body := get(t, r.admin, adminAddress, "/ready"); code != 503 || body != "Shutting down" {
		t.Errorf("/ready is %d %s", code, body)
	}
	upstream.release()
	await()
	<-r.ended
}

// TestRunLeavesNothing: when Run has returned, no goroutine of any part of the program is left, of what a reload has
// replaced neither.
func TestRunLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	const corefile = ".:0 {\n bind 127.0.0.1\n errors {\n  consolidate 5m .*\n }\n log\n reload\n health " +
		"127.0.0.1:0\n ready 127.0.0.1:0\n prometheus 127.0.0.1:0\n pprof 127.0.0.1:0\n dashboard 127.0.0.1:0\n" +
		" hosts {\n  192.0.2.8 new.test\n  fallthrough\n }\n cache 30\n loop\n forward . 127.0.0.1:1\n transfer {\n  " +
		"to *\n }\n" +
		" kubernetes cluster.local {\n  manifests town\n }\n kubernetes away.local {\n  endpoint http://127.0.0.1:1\n }\n}\n"
	r := launch(t, corefile)
	r.answer(t, "somewhere.test.")
	get(t, r.admin, adminAddress, "/metrics")
	r.reload(t, strings.Replace(corefile, "manifests town", "endpoint http://127.0.0.1:2\n  startup_timeout 1ms", 1),
		refused)
	r.reload(t, strings.Replace(corefile, "endpoint http://127.0.0.1:1", "manifests town\n  labels app=db", 1), reloaded)
	r.stop()
	goleak.VerifyNone(t, before)
}

// TestStopWithin: a task that is stuck is left behind, and can be waited for when it is free again.
func TestStopWithin(t *testing.T) {
	free := make(chan struct{})
	stuck := start(t.Context(), func(context.Context) { <-free })
	stuck.stopWithin(time.Millisecond)
	if stuck.ended() {
		t.Error("the task has ended")
	}
	close(free)
	<-stuck.done
}

// TestBindsOverlap: an address beside the wildcard that includes it is one listener, which answers for both.
func TestBindsOverlap(t *testing.T) {
	for _, binds := range []string{"127.0.0.1 0.0.0.0", "0.0.0.0 ::", "127.0.0.1 ::"} {
		t.Run(binds, func(t *testing.T) {
			r := launch(t, ".:0 {\n bind "+binds+"\n kubernetes cluster.local {\n  manifests town\n }\n}\n")
			for address := range r.listeners {
				to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), r.listeners[address].Address().Port())
				for _, network := range []string{"udp", "tcp"} {
					until(t, func() bool { return exchange(t, network, to, web, dns.TypeA).Rcode == dns.RcodeSuccess })
				}
			}
			if len(r.listeners) != 1 {
				t.Errorf("%d listeners", len(r.listeners))
			}
		})
	}
}

// TestReloadsAreOneAtATime: signals that come while the generation that a reload has replaced still answers a query are
// one reload, after that query.
func TestReloadsAreOneAtATime(t *testing.T) {
	upstream, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	r := launch(t, ".:0 {\n bind 127.0.0.1\n forward . "+upstream.LocalAddr().String()+"\n}\n")
	signals := make(chan os.Signal, 1) // as the one of the command
	go func() {
		for {
			select {
			case s := <-signals:
				select {
				case r.signals <- s:
				case <-r.ended: // before it was taken
					return
				}
			case <-r.ended:
				return
			}
		}
	}()
	asked := make(chan error, 1)
	go func() {
		m := new(dns.Msg).SetQuestion("slow.test.", dns.TypeA)
		_, _, err := (&dns.Client{Timeout: 10 * time.Second}).Exchange(m, r.Addresses()[0].String())
		asked <- err
	}()
	packet := make([]byte, 512)
	n, client, err := upstream.ReadFrom(packet) // the query is under way in the first generation
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		select {
		case signals <- syscall.SIGUSR1:
		default:
		}
		if i == 0 {
			until(t, func() bool { return r.said(reloaded) == 1 })
		}
	}
	if n := r.loads.Load(); n > 2 { // at start, and once
		t.Errorf("the Corefile was read %d times while the first generation was in use", n)
	}
	packet[2] |= 0x80
	upstream.WriteTo(packet[:n], client)
	if err := <-asked; err != nil {
		t.Error(err)
	}
	until(t, func() bool { return r.said(reloaded) >= 2 })
	if n := r.said(reloaded); n > 3 {
		t.Errorf("50 signals were %d reloads", n)
	}
}

// TestEndWhileReading: a Corefile that nobody writes to does not hold up the end, be it read at a reload or be a file
// that it names.
func TestEndWhileReading(t *testing.T) {
	r := launch(t, ".:0 {\n bind 127.0.0.1\n}\n")
	pipe := filepath.Join(r.folder, "Corefile")
	if err := os.Remove(pipe); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	before := r.loads.Load()
	r.signals <- syscall.SIGUSR1
	until(t, func() bool { return r.loads.Load() > before })
	r.stop()
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // the reader that was left behind ends
	if err != nil {
		t.Fatal(err)
	}
	writer.Close()
}
