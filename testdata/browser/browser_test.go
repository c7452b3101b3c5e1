package browser

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

var update = flag.Bool("update", false, "take the picture of the README anew")

// Markup is a label that a page would run if it took it for HTML.
const markup = `<img src=x onerror=alert(1)>`

// corefile fails in several ways, so that the page has something to show.
const corefile = `.:DNS {
    bind 127.0.0.1
    dashboard 127.0.0.1:PAGE
    shadow 127.0.0.1:UPSTREAM {
        sample 100%
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests MANIFESTS
        pods verified
        ttl 5
        fallthrough in-addr.arpa ip6.arpa
    }
    forward dead.example 127.0.0.1:1
    forward . 127.0.0.1:UPSTREAM
    cache 30
    loadbalance
    errors
    prometheus 127.0.0.1:METRICS
    reload 2s 0s
}
`

// server is a process with a page, and what feeds it.
type server struct {
	dns, page, file string
	stop            func()
}

// start serves the sample cluster, and shops: 30 namespaces with 300 services.
func start(t *testing.T) *server {
	t.Helper()
	dir := t.TempDir()
	binary, err := programs.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifests := filepath.Join(dir, "manifests")
	if err := os.CopyFS(manifests, os.DirFS("../cluster")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Corefile", "cluster.go"} {
		os.Remove(filepath.Join(manifests, name))
	}
	var shops strings.Builder
	for i := range 300 {
		fmt.Fprintf(&shops, "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s-%d, namespace: team-%02d}\n"+
			"spec: {selector: {app: a}, ports: [{name: http, port: 80}]}\n", words[i%len(words)], i/len(words), i%30)
	}
	write(t, filepath.Join(manifests, "shops.yaml"), shops.String())
	s := &server{dns: programs.Free(t), page: programs.Free(t), file: filepath.Join(dir, "Corefile")}
	write(t, s.file, programs.Fill(corefile, "DNS", s.dns, "PAGE", s.page, "MANIFESTS", manifests, "UPSTREAM", outside(t),
		"METRICS", programs.Free(t)))
	s.stop = programs.Run(t, "clusterdns", []string{binary, "-conf", s.file})
	programs.Await(t, "the server", func() bool {
		reply, err := dns.Exchange(new(dns.Msg).SetQuestion("web-0.team-00.svc.cluster.local.", dns.TypeA), "127.0.0.1:"+s.dns)
		return err == nil && reply.Rcode == dns.RcodeSuccess
	})
	return s
}

var words = []string{"web", "api", "cart", "checkout", "billing", "search", "mail", "auth", "images", "stock"}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// outside is the port of an upstream that has all names but those of missing.example, and takes a moment.
func outside(t *testing.T) (port string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		if strings.HasSuffix(name, "missing.example.") {
			reply.Rcode = dns.RcodeNameError
		} else if q.Question[0].Qtype == dns.TypeA {
			record, _ := dns.NewRR(name + " 3 IN A 192.0.2.1")
			reply.Answer = []dns.RR{record}
		}
		time.Sleep(time.Duration(len(name)%7) * time.Millisecond)
		w.WriteMsg(reply)
	})
	upstream := &dns.Server{PacketConn: conn, Handler: handler}
	go upstream.ActivateAndServe()
	t.Cleanup(func() { upstream.Shutdown() })
	return fmt.Sprint(conn.LocalAddr().(*net.UDPAddr).Port)
}

// questions are what the clients ask, more often those that come first.
var questions = []string{
	"web-0.team-00.svc.cluster.local.", "api-0.team-01.svc.cluster.local.", "cart-0.team-02.svc.cluster.local.",
	"www.example.com.", "www.example.com.team-01.svc.cluster.local.", "www.example.com.svc.cluster.local.",
	"www.example.com.cluster.local.", "checkout-0.team-03.svc.cluster.local.", "billing-1.team-14.svc.cluster.local.",
	"nothing-ready.datarc.svc.cluster.local.", "queue.example.net.", "serach-0.team-05.svc.cluster.local.",
	"db.dead.example.", "old.missing.example.", markup + ".team-00.svc.cluster.local.",
}

// feedFor feeds for the length of the test, or until end is called.
func (s *server) feedFor(t *testing.T) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	fed := make(chan struct{})
	go func() { s.feed(ctx, t); close(fed) }()
	end = func() { cancel(); <-fed }
	t.Cleanup(end)
	return end
}

// feed asks until ctx ends: some clients, each from an address of its own, in waves.
func (s *server) feed(ctx context.Context, t *testing.T) {
	var running sync.WaitGroup
	defer running.Wait()
	for client := range 6 {
		running.Go(func() {
			dialer := &net.Dialer{Timeout: time.Second, LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, byte(10+client))}}
			c := dns.Client{Timeout: time.Second, Dialer: dialer}
			random := rand.New(rand.NewPCG(uint64(client), 1))
			for i := 0; ctx.Err() == nil; i++ {
				name := questions[min(random.IntN(len(questions)), random.IntN(2*len(questions)))]
				question := new(dns.Msg)
				question.Id, question.RecursionDesired = dns.Id(), true
				question.Question = []dns.Question{{Name: escape(name), Qtype: dns.TypeA, Qclass: dns.ClassINET}}
				if random.IntN(3) == 0 {
					question.Question[0].Qtype = dns.TypeAAAA
				}
				if _, _, err := c.Exchange(question, "127.0.0.1:"+s.dns); err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				wave := 1 + 0.5*math.Sin(float64(time.Now().UnixMilli())/9000) + 0.3*math.Sin(float64(time.Now().UnixMilli())/2300)
				time.Sleep(time.Duration(float64(15+2*client) / (wave + 0.25) * float64(time.Millisecond)))
			}
		})
	}
}

// escape is a name as miekg/dns takes it.
func escape(name string) string {
	return strings.NewReplacer(" ", `\ `, "(", `\(`, ")", `\)`).Replace(name)
}

// TestPage runs page.mjs, whose lines are what is wrong, until it says that it wants the server to be ended or the Corefile
// to be broken.
func TestPage(t *testing.T) {
	artifacts := folder(t)
	install(t)
	s := start(t)
	endFeeding := s.feedFor(t)
	past := 6 * time.Second
	if *update {
		past = 2 * time.Minute
	}
	time.Sleep(past) // of which the plots show something
	command := exec.Command("node", "page.mjs", "http://127.0.0.1:"+s.page+"/", artifacts)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill() })
	done := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); line {
		case "break the Corefile":
			content, err := os.ReadFile(s.file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, s.file, strings.Replace(string(content), "loadbalance", "lodbalance", 1))
			fmt.Fprintln(in)
		case "end the server":
			endFeeding()
			s.stop()
			fmt.Fprintln(in)
		case "done":
			done = true
		default:
			t.Error(line)
		}
	}
	if err := command.Wait(); err != nil || !done {
		t.Errorf("page.mjs: %v", err)
	}
	if *update {
		copyFile(t, filepath.Join(artifacts, "readme.png"), "../../docs/page.png")
	}
}

// folder is where screenshots go, also after the test.
func folder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("CLUSTERDNS_ARTIFACTS")
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "clusterdns-page-"); err != nil {
			t.Fatal(err)
		}
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fmt.Println("screenshots are in", dir)
	return dir
}

// install fetches what package-lock.json names, once.
func install(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("node_modules/.package-lock.json"); err == nil {
		return
	}
	command := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPicture: the picture of the README is a small one.
func TestPicture(t *testing.T) {
	info, err := os.Stat("../../docs/page.png")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 150_000 {
		t.Errorf("docs/page.png has %d octets", info.Size())
	}
}
