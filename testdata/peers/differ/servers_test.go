package differ

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// cluster is a running API server.
type cluster struct {
	kubeconfig string
}

// startCluster starts an API server and waits until it is ready.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	p := process.Start(t, process.APIServer, "-dir", dir)
	select {
	case <-p.Ready:
	case <-p.Ended:
		t.Fatalf("the API server ended: %v", p.Err)
	case <-time.After(time.Minute):
		t.Fatal("the API server is not ready after a minute")
	}
	return &cluster{kubeconfig: filepath.Join(dir, "kubeconfig")}
}

// server is a running DNS server.
type server struct {
	name    string
	address string // of UDP and TCP
	*process.Process
}

// startServer starts clusterdns or CoreDNS on a Corefile in which READY stands
// for an address of its own, and waits until it has read the cluster.
func startServer(t *testing.T, command process.Command, corefile string) *server {
	t.Helper()
	port, ready := process.FreePort(t), net.JoinHostPort("127.0.0.1", process.FreePort(t))
	file := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(file, []byte(own(t, corefile, ready)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := process.Start(t, command, "-conf", file, "-dns.port", port)
	s := &server{name: filepath.Base(p.Cmd.Path), address: net.JoinHostPort("127.0.0.1", port), Process: p}
	s.Await(t, time.Minute, s.name+" to be ready", func() bool {
		response, err := http.Get("http://" + ready + "/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	// CoreDNS is ready a moment before it listens.
	for _, proto := range []string{"udp", "tcp"} {
		s.Await(t, time.Minute, s.name+" to answer over "+proto, func() bool {
			client := &dns.Client{Net: proto, Timeout: time.Second}
			reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(zone+".", dns.TypeSOA), s.address)
			return err == nil && reply.Rcode == dns.RcodeSuccess
		})
	}
	return s
}
