package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestEtcd serves what is written into a real etcd in the way of external-dns: before etcd is there, while it is, and
// when it is away.
func TestEtcd(t *testing.T) {
	dir := t.TempDir()
	url := "http://" + net.JoinHostPort("127.0.0.1", freePort(t))
	host, port := "127.0.0.1", freePort(t)
	server := net.JoinHostPort(host, port)
	corefile := filepath.Join(dir, "Corefile")
	text := fmt.Sprintf("lab.test:%s {\n bind %s\n etcd {\n  endpoint %s\n }\n}\n", port, host, url)
	if err := os.WriteFile(corefile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, nil, built(t, clusterdns), "-conf", corefile)
	ask := func(qtype uint16, want string) {
		t.Helper()
		var got string
		for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			m, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("www.lab.test.", qtype), server)
			if err != nil {
				continue
			}
			if got = dns.RcodeToString[m.Rcode]; len(m.Answer) > 0 {
				_, got, _ = strings.Cut(m.Answer[0].String(), "IN\t")
			}
			if got == want {
				return
			}
		}
		t.Fatalf("got %q, want %q", got, want)
	}
	ask(dns.TypeA, "SERVFAIL")
	run := func() *process {
		p := start(t, nil, built(t, apiserver), "etcd", "-dir", dir, "-listen", url)
		p.awaitReady(t, time.Minute)
		return p
	}
	etcd := run()
	ask(dns.TypeA, "NXDOMAIN")
	put(t, url, "/skydns/test/lab/www/5ab1", `{"host":"192.0.2.1","port":80,"ttl":60,"text":"owned"}`)
	ask(dns.TypeA, "A\t192.0.2.1")
	ask(dns.TypeSRV, "SRV\t10 100 80 5ab1.www.lab.test.")
	put(t, url, "/skydns/test/lab/www/5ab1", `{"host":"192.0.2.2"}`)
	ask(dns.TypeA, "A\t192.0.2.2")
	etcd.signal(t, syscall.SIGKILL, 10*time.Second)
	ask(dns.TypeA, "A\t192.0.2.2")
	run()
	put(t, url, "/skydns/test/lab/www/5ab1", `{"host":"192.0.2.3"}`)
	ask(dns.TypeA, "A\t192.0.2.3")
}

// put writes a key of etcd.
func put(t *testing.T, url, key, value string) {
	t.Helper()
	encode := base64.StdEncoding.EncodeToString
	body := fmt.Sprintf(`{"key":%q,"value":%q}`, encode([]byte(key)), encode([]byte(value)))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v3/kv/put", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("put %s: %v, %v", key, reply, err)
	}
	reply.Body.Close()
}
