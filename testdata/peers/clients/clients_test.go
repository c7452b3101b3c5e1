// Package clients asks the built server with the stub resolvers of real C libraries: what an application sees of an
// answer is what its library makes of it. It needs gcc.
package clients

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

// build runs a compiler that writes to the result.
func build(t *testing.T, name string, command ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	c := exec.Command(command[0], append(command[1:], "-o", path)...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// upstream answers each question with the records that it has for the name, in their order and whatever their owner.
func upstream(t *testing.T, names map[string][]string) (address string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		for _, text := range names[strings.ToLower(m.Question[0].Name)] {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Error(err)
				continue
			}
			if h := rr.Header(); h.Rrtype == m.Question[0].Qtype || h.Rrtype == dns.TypeCNAME {
				reply.Answer = append(reply.Answer, rr)
			}
		}
		w.WriteMsg(reply)
	})}
	go func() { defer close(ended); server.ActivateAndServe() }()
	t.Cleanup(func() { conn.Close(); <-ended })
	return conn.LocalAddr().String()
}

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }

// serve starts the server with a Corefile in which $PORT stands for the port that it returns.
func serve(t *testing.T, corefile string) (port string) {
	t.Helper()
	port = process.FreePort(t)
	path := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(corefile, "$PORT", port)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := process.Start(t, process.Clusterdns, "-conf", path)
	p.Await(t, 20*time.Second, "the server to listen", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return port
}

// TestGetaddrinfo: glibc asks for A and AAAA together. Every address of either family comes first about as often as the
// others, from a table of hosts and from the cache; and an alias that stands behind the address that it leads to,
// upstream, leads there.
func TestGetaddrinfo(t *testing.T) {
	const tries = 200
	getaddrinfo := build(t, "getaddrinfo", "gcc", "-Wall", "glibc/getaddrinfo.c", "-lresolv")
	up := upstream(t, map[string][]string{
		"forwarded.test.": {"forwarded.test. 60 IN A 203.0.113.1", "forwarded.test. 60 IN A 203.0.113.2",
			"forwarded.test. 60 IN AAAA 2001:db8::1", "forwarded.test. 60 IN AAAA 2001:db8::2"},
		"alias.test.": {"there.test. 60 IN A 203.0.113.1", "there.test. 60 IN AAAA 2001:db8::1", "alias.test. 60 IN CNAME there.test."},
	})
	port := serve(t, `.:$PORT {
    bind 127.0.0.1
    hosts {
        203.0.113.1 local.test
        203.0.113.2 local.test
        2001:db8::1 local.test
        2001:db8::2 local.test
        fallthrough
    }
    forward . `+up+`
    cache
    loadbalance
}`)
	for name, addresses := range map[string][]string{
		"local.test.":     {"203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"},
		"forwarded.test.": {"203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"},
		"alias.test.":     {"203.0.113.1", "2001:db8::1"},
	} {
		out, err := exec.Command(getaddrinfo, port, name, fmt.Sprint(tries)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		first := map[string]int{}
		for _, address := range strings.Fields(string(out)) {
			first[address]++
		}
		t.Log(name, first)
		for _, address := range addresses {
			// Of two addresses each is expected 100 times; fewer than 60 or more than 140 are a chance of 1 in 10^8.
			if n, expected := first[address], tries*2/len(addresses); n < expected*6/10 || n > expected*14/10 {
				t.Errorf("%s: %s is first %d of %d times", name, address, n, tries)
			}
		}
		if len(first) != len(addresses) {
			t.Errorf("%s: %s", name, out)
		}
	}
}
