package config

import (
	"math"
	"slices"
	"time"
)

// health [ADDRESS] { lameduck DURATION }
func (b *block) health(a *args) {
	h := &b.config.Health
	b.serve(a, &h.Addresses, ":8080")
	a.options(options{
		// Several blocks may ask for it; the process ends once, so the longest counts.
		"lameduck": func(o *args) { h.Lameduck = max(h.Lameduck, o.duration(0, forever)) },
	})
}

// ready [ADDRESS] { monitor until-ready|continuously }
func (b *block) ready(a *args) {
	r := &b.config.Ready
	b.Ready = true
	b.serve(a, &r.Addresses, ":8181")
	a.options(options{
		"monitor": func(o *args) {
			r.Continuously = choose(o, map[string]bool{"until-ready": false, "continuously": true})
		},
	})
}

// prometheus [ADDRESS] { runtime_metrics }
func (b *block) prometheus(a *args) {
	p := &b.config.Prometheus
	b.Prometheus = b.serve(a, &p.Addresses, "localhost:9153")
	a.options(options{
		"runtime_metrics": set(&p.RuntimeMetrics),
		"tls":             nil,
	})
}

// pprof [ADDRESS] { block [RATE] }
func (b *block) pprof(a *args) {
	p := &b.config.Pprof
	b.serve(a, &p.Addresses, "localhost:6053")
	a.options(options{
		"block": func(o *args) {
			p.BlockRate = 1
			if o.more() {
				p.BlockRate = o.number(1, math.MaxInt32)
			}
		},
	})
}

// reload [INTERVAL] [JITTER]
func (b *block) reload(a *args) {
	r := Reload{Interval: 30 * time.Second, Jitter: 15 * time.Second}
	if a.more() {
		r.Interval = a.duration(2*time.Second, forever)
	}
	if a.more() {
		r.Jitter = a.duration(0, forever)
	}
	if r.Jitter > 0 && r.Jitter < time.Second {
		a.fail("got a jitter of %v, wants 0s or at least 1s", r.Jitter)
	}
	r.Jitter = min(r.Jitter, r.Interval/2)
	a.finish()
	b.config.Reload = r
}

// serve reads the optional address of an HTTP endpoint, and adds it to all unless it is there.
func (b *block) serve(a *args, all *[]string, standard string) string {
	address := a.endpoint(standard)
	if !slices.Contains(*all, address) {
		*all = append(*all, address)
	}
	if b.config.EndpointAt == nil {
		b.config.EndpointAt = map[string]string{}
	}
	if b.config.EndpointAt[address] == "" {
		b.config.EndpointAt[address] = a.at.String() + ": " + a.name
	}
	return address
}
