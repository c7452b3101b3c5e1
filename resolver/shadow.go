package resolver

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/clusterdns/clusterdns/observe/shadow"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// shadowing is directive shadow, a part: a share of the answers is compared with those of a second server.
type shadowing struct{ *shadow.Shadow }

func (s *shadowing) run(ctx context.Context) { s.Run(ctx) }

func (r *Resolver) newShadow(b *block, log *slog.Logger) (err error) {
	if o := b.options.Shadow; o != nil {
		b.shadow, err = obtain(r, "shadow", *o, func() (*shadowing, error) {
			return &shadowing{shadow.New(*o, log)}, nil
		})
	}
	return err
}

// answered takes a reply that a client gets, if it is a sample.
func (s *shadowing) answered(r *Request, reply []byte) {
	if s == nil || !s.Sampled() || r.Query.Type == wire.TypeAXFR || r.Query.Type == wire.TypeIXFR {
		return
	}
	s.Add(r.Query.Packet, reply, time.Since(r.Now))
}

// Differences are the last answers of second servers that nothing explains, the newest first. Any goroutine may call it.
func Differences(resolvers []*Resolver) (all []shadow.Difference) {
	seen := map[*shadowing]bool{}
	for _, r := range resolvers {
		for _, b := range r.blocks {
			if b.shadow != nil && !seen[b.shadow] {
				seen[b.shadow] = true
				all = append(all, b.shadow.Recent()...)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b shadow.Difference) int { return b.At.Compare(a.At) })
	return all
}
