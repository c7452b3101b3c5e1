package config

import (
	"slices"

	"github.com/clusterdns/clusterdns/resolver"
)

// grpc FROM TO… { … } is a forward whose upstreams speak gRPC, each asked once. As in CoreDNS it comes after forward.
func (b *blockReader) grpc(a *args) {
	f := newForward()
	f.MaxFails = 0 // no health checks
	f.From = a.from()
	a.upstreams(f)
	secure := false
	a.options(options{
		"except":         func(o *args) { o.needsZone(); f.Except = append(f.Except, o.zones()...) },
		"policy":         func(o *args) { f.Policy = choose(o, policies()) },
		"tls":            func(o *args) { secure = true; forwardTLS(o, f) },
		"tls_servername": func(o *args) { secure = true; f.ServerName = o.word("a name") },
		"fallthrough": func(o *args) {
			b.Steps.Onward.Zones, b.onwardAt = o.zonesOr("."), o
		},
	})
	for i := range f.To {
		if f.To[i].Transport != resolver.OverDNS {
			a.fail("wants addresses without a scheme; tls in its block is for TLS")
		}
		f.To[i].Transport = resolver.OverGRPC
		if secure {
			f.To[i].Transport = resolver.OverGRPCTLS
		}
	}
	f.MaxAttempts = len(f.To)
	b.grpcs = append(b.grpcs, *f)
}

// checkOnward warns of a fallthrough behind which there is nothing.
func (b *blockReader) checkOnward() {
	if b.onwardAt != nil && !b.Steps.Whoami && b.Steps.Erratic == nil {
		b.onwardAt.warnf("has no effect: of what comes after grpc, erratic and whoami, the block has none")
	}
}

// isGRPC reports whether f is of the directive grpc.
func isGRPC(f resolver.Forward) bool { return len(f.To) > 0 && f.To[0].Transport >= resolver.OverGRPC }

func usesGRPC(b *Block) bool { return slices.ContainsFunc(b.Steps.Forwards, isGRPC) }
