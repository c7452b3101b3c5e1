package attack

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/miekg/dns"
)

// others are honest clients that ask for external names, each its own, a hundred a second: half of them from the
// attacker's address, half from another one.
func (s *server) others(ctx context.Context, seconds int) *honest {
	clients := []*dns.Client{{}, {Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}}}
	return s.honest(ctx, 100*seconds, 10*time.Millisecond, func(ctx context.Context, i int) error {
		client := *clients[i%len(clients)]
		client.Timeout = 2 * time.Second
		return askWith(ctx, &client, s.dns, fmt.Sprintf("n%d.good.test.", i), dns.TypeA)
	})
}

// external is a Corefile that forwards everything to an upstream, and more.
func external(to, more string) string {
	return ".:$DNS {\n bind 127.0.0.1\n cache\n forward . " + to + "\n prometheus 127.0.0.1:$METRICS\n" + more + "}\n"
}

// TestSilentDomain: names without end of a domain whose servers are dead do not keep other external names waiting,
// whatever suffix the names share with them.
func TestSilentDomain(t *testing.T) {
	for shape, name := range map[string]string{
		"": "u%d.silent.test.", "two random labels of": "u%[1]d.v%[1]d.silent.test.",
	} {
		rate := size(1500, 3000)
		attack{
			name: fmt.Sprintf("%d/s names, %s a silent domain", rate, shape), corefile: external(upstream(t), ""),
			tolerated: size(10, 1),
			run: func(t *testing.T, s *server) *honest {
				ctx, end := context.WithCancel(t.Context())
				wait := flood(ctx, t, s.dns, rate, dns.TypeA, func(i int) string { return fmt.Sprintf(name, i) })
				defer wait()
				defer end()
				return s.others(ctx, size(4, 20))
			},
		}.try(t)
	}
}

// TestManySilentDomains: the same with a domain of its own for each name, so that no domain can be found to be silent.
func TestManySilentDomains(t *testing.T) {
	rate := size(1500, 3000)
	attack{
		name: fmt.Sprintf("%d/s names, each of another silent domain", rate), corefile: external(upstream(t), ""),
		tolerated: 500,
		run: func(t *testing.T, s *server) *honest {
			ctx, end := context.WithCancel(t.Context())
			wait := flood(ctx, t, s.dns, rate, dns.TypeA, func(i int) string { return fmt.Sprintf("u.v%d.silent.test.", i) })
			defer wait()
			defer end()
			return s.others(ctx, size(4, 20))
		},
	}.try(t)
}

// TestDeadStub: a stub domain whose server is dead takes nothing from the block of all other names.
func TestDeadStub(t *testing.T) {
	dead, err := net.ListenPacket("udp", "127.0.0.1:0") // nobody reads it
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	rate := size(1500, 3000)
	attack{
		name:      fmt.Sprintf("%d/s names of a dead stub domain", rate),
		corefile:  external(upstream(t), "") + "stub.test:$DNS {\n bind 127.0.0.1\n forward . " + dead.LocalAddr().String() + "\n}\n",
		tolerated: size(10, 1),
		run: func(t *testing.T, s *server) *honest {
			ctx, end := context.WithCancel(t.Context())
			wait := flood(ctx, t, s.dns, rate, dns.TypeA, func(i int) string { return fmt.Sprintf("u%d.stub.test.", i) })
			defer wait()
			defer end()
			return s.others(ctx, size(4, 20))
		},
	}.try(t)
}

// TestManyClientsOfOneName: clients that ask for the same slow name at the same time all get its answer.
func TestManyClientsOfOneName(t *testing.T) {
	clients := size(4000, 10000)
	attack{
		name: fmt.Sprintf("%d clients of one slow name", clients), corefile: external(slow(t, time.Second), ""),
		run: func(t *testing.T, s *server) *honest {
			h := &honest{asked: clients}
			conn, err := net.Dial("udp", s.dns)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.(*net.UDPConn).SetReadBuffer(4 << 20)
			answered := make(chan int)
			go func() {
				n, buffer := 0, make([]byte, 512)
				for n < clients {
					conn.SetReadDeadline(time.Now().Add(4 * time.Second))
					size, err := conn.Read(buffer)
					if err != nil {
						break
					}
					if reply := new(dns.Msg); reply.Unpack(buffer[:size]) == nil && len(reply.Answer) == 1 {
						n++
					}
				}
				answered <- n
			}()
			for i := range clients {
				m := new(dns.Msg).SetQuestion("slow.test.", dns.TypeA)
				m.Id = uint16(i)
				packet, _ := m.Pack()
				conn.Write(packet)
				if i%100 == 99 {
					time.Sleep(2 * time.Millisecond)
				}
			}
			h.lost = clients - <-answered
			return h
		},
	}.try(t)
}

// slow is an upstream that answers each question after a time.
func slow(t *testing.T, after time.Duration) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		<-time.After(after)
		reply := new(dns.Msg).SetReply(m)
		header := dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}
		reply.Answer = []dns.RR{&dns.A{Hdr: header, A: net.IPv4(192, 0, 2, 1)}}
		w.WriteMsg(reply)
	})}
	done := make(chan struct{})
	go func() { defer close(done); s.ActivateAndServe() }()
	t.Cleanup(func() { s.Shutdown(); <-done })
	return conn.LocalAddr().String()
}

// TestSlowLongReplies: names whose replies over TCP say that they have 64 KiB, and come octet by octet, do not end the
// server within the memory of the deployment.
func TestSlowLongReplies(t *testing.T) {
	rate, limit := size(300, 1300), size(120, 200)
	attack{
		name:      fmt.Sprintf("%d/s names, each with 64 KiB that come slowly", rate),
		corefile:  external(upstream(t), "") + "long.test:$DNS {\n bind 127.0.0.1\n forward . " + dribble(t) + "\n}\n",
		tolerated: size(50, 100), // the machine is busy
		run: func(t *testing.T, s *server) *honest {
			ctx, end := context.WithCancel(t.Context())
			wait := flood(ctx, t, s.dns, rate, dns.TypeA, func(i int) string { return fmt.Sprintf("u%d.long.test.", i) })
			defer wait()
			defer end()
			h := s.others(ctx, size(4, 15))
			if highest := s.memory() >> 20; highest > limit {
				t.Errorf("%s: %d MB of memory", s.process.Path, highest)
			}
			return h
		},
	}.try(t)
}

// dribble is an upstream whose replies are cut over UDP, and over TCP announce 64 KiB and bring a KiB of them every
// half a second. It has a bound of connections, so that the machine is not the one that suffers.
func dribble(t *testing.T) string {
	t.Helper()
	stream, packets := programs.ListenBoth(t)
	s := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		reply.Truncated = true
		w.WriteMsg(reply)
	})}
	done := make(chan struct{})
	go func() { defer close(done); s.ActivateAndServe() }()
	var open atomic.Int64
	go func() {
		for {
			conn, err := stream.Accept()
			if err != nil {
				return
			}
			if open.Add(1) > 4096 {
				open.Add(-1)
				conn.Close()
				continue
			}
			go func() {
				defer open.Add(-1)
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, 14)); err != nil {
					return
				}
				_, err := conn.Write([]byte{0xff, 0xff})
				for piece := make([]byte, 1024); err == nil; time.Sleep(500 * time.Millisecond) {
					_, err = conn.Write(piece) // until the server has had enough
				}
			}()
		}
	}()
	t.Cleanup(func() { stream.Close(); s.Shutdown(); <-done })
	return stream.Addr().String()
}
