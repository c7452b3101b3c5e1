// Package collectors has the built server and CoreDNS send what they do to collectors that are not ours, asks both the
// same questions, and compares what arrives.
package collectors

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// start starts a server with a Corefile, and returns when it listens on TCP at each of the addresses.
func start(t *testing.T, command process.Command, corefile string, addresses ...string) *process.Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(file, []byte(corefile), 0o600); err != nil {
		t.Fatal(err)
	}
	p := process.Start(t, command, "-conf", file)
	for _, address := range addresses {
		p.Await(t, 20*time.Second, p.Cmd.Path+" to listen", func() bool {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
	}
	return p
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

// upstream answers A with 203.0.113.1, over UDP cut for names that begin with "long", and nothing for "silent".
func upstream(t *testing.T) (address string) {
	t.Helper()
	tcp, udp := process.ListenBoth(t)
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
