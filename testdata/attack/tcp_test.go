package attack

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// large is the lines of a hosts file that give one name addresses for a reply of 48 KB.
func large() string {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "  10.1.%d.%d large.test\n", i/250, 1+i%250)
	}
	return b.String()
}

// TestTCPBesideSlowReaders: clients that ask for much and read nothing do not keep others out of TCP.
func TestTCPBesideSlowReaders(t *testing.T) {
	count := size(300, 600)
	attack{
		name: fmt.Sprintf("%d TCP connections of one client that ask 40 times for 48 KB and read nothing", count),
		corefile: ".:$DNS {\n bind 127.0.0.1\n hosts {\n  10.0.0.1 good.test\n" + large() +
			" }\n}\n",
		run: func(t *testing.T, s *server) *honest {
			queries := strings.Repeat(string(query(t, "large.test.", dns.TypeA)), 40)
			return s.besideTCP(t, count, func(ctx context.Context, conn net.Conn) {
				conn.(*net.TCPConn).SetReadBuffer(4096)
				io.WriteString(conn, queries)
				held := make([]byte, 1)
				for ctx.Err() == nil { // it reads one octet a second, to see when the server closes it
					if _, err := conn.Read(held); err != nil {
						return
					}
					pause(ctx, time.Second)
				}
			})
		},
	}.try(t)
}

// TestTCPBesideSilentNames: nor does a client whose pipelined queries all wait for an upstream that is silent.
func TestTCPBesideSilentNames(t *testing.T) {
	attack{
		name:     "8 TCP connections of one client with 32 names each of a silent domain",
		corefile: ".:$DNS {\n bind 127.0.0.1\n forward . " + upstream(t) + "\n}\n",
		run: func(t *testing.T, s *server) *honest {
			return s.besideTCP(t, 8, func(ctx context.Context, conn net.Conn) {
				var queries []byte
				for i := range 32 {
					name := fmt.Sprintf("n%d-%d.silent.test.", time.Now().UnixNano(), i)
					queries = append(queries, query(t, name, dns.TypeA)...)
				}
				conn.Write(queries)
				conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				(&dns.Conn{Conn: conn}).ReadMsg()
			})
		},
	}.try(t)
}

// besideTCP is honest clients of one address while another one uses count connections.
func (s *server) besideTCP(t *testing.T, count int, use func(context.Context, net.Conn)) *honest {
	ctx, cancel := context.WithCancel(t.Context())
	wait := connections(ctx, s.dns, count, use)
	defer wait()
	defer cancel()
	pause(ctx, time.Second) // the attack is under way
	return s.honest(ctx, size(40, 160), 25*time.Millisecond, func(ctx context.Context, _ int) error {
		return askFrom(ctx, 2, s.dns, "good.test.", dns.TypeA)
	})
}
