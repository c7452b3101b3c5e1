package attack

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/miekg/dns"
)

// dialer dials from 127.0.0.HOST, an address that tells a client from others. Attacks are from 127.0.0.1.
func dialer(host int) *net.Dialer {
	return &net.Dialer{Timeout: 2 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(host))}}
}

// ask asks one question over udp or tcp, from a socket of its own, and wants NOERROR with an answer.
func ask(ctx context.Context, network, address, name string, qtype uint16) error {
	return askWith(ctx, &dns.Client{Net: network, Timeout: 2 * time.Second}, address, name, qtype)
}

// askFrom is ask over TCP from the address of another host.
func askFrom(ctx context.Context, host int, address, name string, qtype uint16) error {
	client := &dns.Client{Net: "tcp", Timeout: 2 * time.Second, Dialer: dialer(host)}
	return askWith(ctx, client, address, name, qtype)
}

func askWith(ctx context.Context, client *dns.Client, address, name string, qtype uint16) error {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.SetEdns0(1232, false)
	reply, _, err := client.ExchangeContext(ctx, m, address)
	if err != nil {
		return err
	}
	if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) == 0 {
		return fmt.Errorf("%w: %v", errWrong, reply)
	}
	return nil
}

// get asks an admin endpoint as a kubelet does: from 127.0.0.HOST, over a connection of its own, and wants 200.
func get(ctx context.Context, host int, address, path string) error {
	request, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+path, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: dialer(host).DialContext}
	reply, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if _, err = io.Copy(io.Discard, reply.Body); err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: %s", errWrong, reply.Status)
	}
	return err
}

// query is a query with the length before it, as TCP has it.
func query(t *testing.T, name string, qtype uint16) []byte {
	t.Helper()
	packet, err := new(dns.Msg).SetQuestion(name, qtype).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{byte(len(packet) >> 8), byte(len(packet))}, packet...)
}

// connections opens count connections to address within a second, and gives each to use, which must end with ctx. A
// connection that use returns from is opened anew. End ctx, then call the returned function, which waits for all.
func connections(ctx context.Context, address string, count int, use func(ctx context.Context, conn net.Conn)) (wait func()) {
	ended := make(chan struct{}, count)
	for i := range count {
		go func() {
			defer func() { ended <- struct{}{} }()
			pause(ctx, time.Duration(i)*time.Second/time.Duration(count))
			for ctx.Err() == nil {
				conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
				if err != nil {
					pause(ctx, 50*time.Millisecond)
					continue
				}
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				use(ctx, conn)
				stop()
				conn.Close()
				pause(ctx, time.Millisecond)
			}
		}()
	}
	return func() {
		for range count {
			<-ended
		}
	}
}

// pause sleeps for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// upstream is a name server at a free address of loopback that answers A queries with 192.0.2.1, and is silent about
// names below silent.test.
func upstream(t *testing.T) (address string) {
	t.Helper()
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		if len(m.Question) != 1 || dns.IsSubDomain("silent.test.", m.Question[0].Name) {
			return
		}
		reply := new(dns.Msg).SetReply(m)
		if m.Question[0].Qtype == dns.TypeA {
			header := dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}
			reply.Answer = []dns.RR{&dns.A{Hdr: header, A: net.IPv4(192, 0, 2, 1)}}
		}
		w.WriteMsg(reply)
	})
	listener, packets := programs.ListenBoth(t)
	for _, s := range []*dns.Server{{Listener: listener}, {PacketConn: packets}} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.Handler, s.NotifyStartedFunc = answer, func() { close(started) }
		go func() { defer close(ended); s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { s.Shutdown(); <-ended })
	}
	return listener.Addr().String()
}

// flood sends rate queries a second, from 127.0.0.1, until ctx ends, and reads no replies. name gets the number of the
// query.
func flood(
	ctx context.Context, t *testing.T, address string, rate int, qtype uint16, name func(i int) string,
) (wait func()) {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer conn.Close()
		const step = 5 * time.Millisecond
		ticker := time.NewTicker(step)
		defer ticker.Stop()
		for sent, begin := 0, time.Now(); ctx.Err() == nil; <-ticker.C {
			for ; sent < int(time.Since(begin)*time.Duration(rate)/time.Second); sent++ {
				packet, _ := new(dns.Msg).SetQuestion(name(sent), qtype).SetEdns0(4096, false).Pack()
				conn.Write(packet)
			}
		}
	}()
	return func() { <-done }
}
