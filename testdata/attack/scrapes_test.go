package attack

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestQueriesBesideScrapes: clients that scrape without a pause take little of the CPU. The figure is what the process
// used meanwhile.
func TestQueriesBesideScrapes(t *testing.T) {
	attack{
		name:     "64 connections that scrape /metrics without a pause",
		corefile: ".:$DNS {\n bind 127.0.0.1\n prometheus 127.0.0.1:$METRICS\n hosts {\n  10.0.0.1 good.test\n }\n}\n",
		run: func(t *testing.T, s *server) *honest {
			ctx, cancel := context.WithCancel(t.Context())
			wait := connections(ctx, s.metrics, 64, func(ctx context.Context, conn net.Conn) {
				for ctx.Err() == nil {
					if _, err := fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
						return
					}
					if n, err := io.CopyN(io.Discard, conn, 4096); err != nil || n == 0 {
						return
					}
				}
			})
			defer wait()
			defer cancel()
			pause(ctx, time.Second)
			began, used := time.Now(), s.cpu()
			h := s.honest(ctx, size(100, 500), 10*time.Millisecond, func(ctx context.Context, i int) error {
				if i%50 == 0 {
					return get(ctx, 2, s.metrics, "/metrics") // Prometheus
				}
				return ask(ctx, "udp", s.dns, "good.test.", dns.TypeA)
			})
			h.note = fmt.Sprintf("%.2f CPUs", (s.cpu()-used).Seconds()/time.Since(began).Seconds())
			return h
		},
	}.try(t)
}
