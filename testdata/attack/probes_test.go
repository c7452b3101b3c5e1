package attack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

const probed = ". {\n bind 127.0.0.1\n health 127.0.0.1:$HEALTH\n}\n"

// TestProbesBesideKeepAlive: clients that keep their connections to a health endpoint, and ask from time to time, do
// not hold up the kubelet.
func TestProbesBesideKeepAlive(t *testing.T) {
	count := size(300, 1000)
	attack{
		name:      fmt.Sprintf("%d kept connections to the health port, a GET each 4 s", count),
		corefile:  inBlock(probed),
		tolerated: 100, // attackers and kubelet are threads of one process here, and hold up each other
		run: func(t *testing.T, s *server) *honest {
			return s.beside(t, s.health, count, func(ctx context.Context, conn net.Conn) {
				in := bufio.NewReader(conn)
				for ctx.Err() == nil {
					fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
					reply, err := http.ReadResponse(in, nil)
					if err != nil {
						return
					}
					io.Copy(io.Discard, reply.Body)
					pause(ctx, 4*time.Second)
					if reply.Close {
						return
					}
				}
			})
		},
	}.try(t)
}

// TestProbesBesideHalfHeaders: nor do clients that begin a header and never end it.
func TestProbesBesideHalfHeaders(t *testing.T) {
	count := size(300, 1000)
	attack{
		name:      fmt.Sprintf("%d half-sent headers to the health port, opened anew", count),
		corefile:  inBlock(probed),
		tolerated: 100, // attackers and kubelet are threads of one process here, and hold up each other
		run: func(t *testing.T, s *server) *honest {
			return s.beside(t, s.health, count, func(ctx context.Context, conn net.Conn) {
				fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: x\r\nX-")
				io.Copy(io.Discard, conn) // until the server closes it
			})
		},
	}.try(t)
}

// inBlock gives the zone of a Corefile's block its port.
func inBlock(corefile string) string { return ".:$DNS" + corefile[1:] }

// beside is the probes of a kubelet while count connections to address are used.
func (s *server) beside(t *testing.T, address string, count int, use func(context.Context, net.Conn)) *honest {
	ctx, cancel := context.WithCancel(t.Context())
	wait := connections(ctx, address, count, use)
	defer wait()
	defer cancel()
	pause(ctx, 1500*time.Millisecond) // the attack is under way
	return s.honest(ctx, size(20, 60), 100*time.Millisecond, func(ctx context.Context, i int) error {
		return get(ctx, 1+i%2, s.health, "/health")
	})
}
