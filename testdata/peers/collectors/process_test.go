// Package collectors has the built server and CoreDNS send what they do to collectors that are not ours, asks both the
// same questions, and compares what arrives.
package collectors

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var (
	clusterdnsFlag = flag.String("clusterdns", "", "binary to test instead of one built from this repository")
	corednsFlag    = flag.String("coredns", "", "likewise")

	bin        string
	clusterdns = sync.OnceValues(func() (string, error) { return build(*clusterdnsFlag, "clusterdns", "../../..", ".") })
	coredns    = sync.OnceValues(func() (string, error) { return build(*corednsFlag, "coredns", "..", "./coredns") })
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "clusterdns-collectors")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		return m.Run()
	}())
}

func build(given, name, dir, pkg string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	path := filepath.Join(bin, name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return path, nil
}

// process is a server under test.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	ended  chan struct{}
}

// start starts a server with a Corefile, and returns when it listens on TCP at each of the addresses.
func start(t *testing.T, binary func() (string, error), corefile string, addresses ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(file, []byte(corefile), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, "-conf", file), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s said:\n%s", path, p.output.String())
		}
	})
	for _, address := range addresses {
		await(t, "the server", func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	return p
}

// stop ends the server, and returns when it has ended.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
}

// await returns when done is true, and fails when that takes long.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 2000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: nothing in 20 s", what)
}

// freePort is a port that nobody has at the moment, in UDP and TCP.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// upstream answers A with 203.0.113.1, over UDP cut for names that begin with "long", and nothing for "silent".
func upstream(t *testing.T) (address string) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		q := m.Question[0]
		_, stream := w.RemoteAddr().(*net.TCPAddr)
		switch {
		case strings.HasPrefix(q.Name, "silent"):
			return
		case strings.HasPrefix(q.Name, "none"):
			reply.Rcode = dns.RcodeNameError
		case strings.HasPrefix(q.Name, "long") && !stream:
			reply.Truncated = true
		case q.Qtype == dns.TypeA:
			rr, _ := dns.NewRR(q.Name + " 60 IN A 203.0.113.1")
			reply.Answer = append(reply.Answer, rr)
		}
		w.WriteMsg(reply)
	})
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	for _, s := range []*dns.Server{{Listener: tcp, Handler: handler}, {PacketConn: udp, Handler: handler}} {
		running.Go(func() { s.ActivateAndServe() })
		t.Cleanup(func() { s.Shutdown() })
	}
	return tcp.Addr().String()
}

// ask asks over udp, tcp or tcp-tls.
func ask(t *testing.T, network, address string, m *dns.Msg) *dns.Msg {
	t.Helper()
	client := &dns.Client{Net: network, Timeout: 10 * time.Second, TLSConfig: anyCertificate}
	reply, _, err := client.Exchange(m, address)
	if err != nil {
		t.Fatalf("%s over %s: %v", m.Question[0].String(), network, err)
	}
	return reply
}
