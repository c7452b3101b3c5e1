package attack

import (
	"context"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestNone: without an attack no honest query is lost, whatever the way it comes. The other rows are to be read beside
// this one.
func TestNone(t *testing.T) {
	attack{
		name: "none",
		corefile: ".:$DNS {\n bind 127.0.0.1\n health 127.0.0.1:$HEALTH\n prometheus 127.0.0.1:$METRICS\n" +
			" forward . " + upstream(t) + "\n}\n",
		run: func(t *testing.T, s *server) *honest {
			ways := []func(context.Context) error{
				func(ctx context.Context) error { return ask(ctx, "udp", s.dns, "good.test.", dns.TypeA) },
				func(ctx context.Context) error { return ask(ctx, "tcp", s.dns, "good.test.", dns.TypeA) },
				func(ctx context.Context) error { return get(ctx, 1, s.health, "/health") },
				func(ctx context.Context) error { return get(ctx, 1, s.metrics, "/metrics") },
			}
			return s.honest(t.Context(), size(40, 400), 20*time.Millisecond, func(ctx context.Context, i int) error {
				return ways[i%len(ways)](ctx)
			})
		},
	}.try(t)
}
