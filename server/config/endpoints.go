package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The defaults of the endpoints and of reload, which are CoreDNS's where it has them. The dashboard tells who asks for
// what, so it is for the machine alone unless the Corefile says otherwise.
const (
	defaultHealthAddress     = ":8080"
	defaultReadyAddress      = ":8181"
	defaultPrometheusAddress = "localhost:9153"
	defaultPprofAddress      = "localhost:6053"
	defaultDashboardAddress  = "127.0.0.1:1054"
	defaultBlockRate         = 1
	defaultReloadInterval    = 30 * time.Second
	defaultReloadJitter      = 15 * time.Second
)

// leastReloadInterval and leastReloadJitter are CoreDNS's bounds. A jitter of 0 is allowed.
const (
	leastReloadInterval = 2 * time.Second
	leastReloadJitter   = time.Second
)

// health [ADDRESS] { lameduck DURATION }
func (b *blockReader) health(a *args) {
	h := &b.config.Health
	b.serve(a, &h.Addresses, defaultHealthAddress)
	a.options(options{
		// Several blocks may ask for it; the process ends once, so the longest counts.
		"lameduck": func(o *args) { h.Lameduck = max(h.Lameduck, o.duration(0, forever)) },
	})
}

// ready [ADDRESS] { monitor until-ready|continuously }
func (b *blockReader) ready(a *args) {
	r := &b.config.Ready
	b.Ready = true
	b.serve(a, &r.Addresses, defaultReadyAddress)
	a.options(options{
		"monitor": func(o *args) {
			r.Continuously = choose(o, map[string]bool{"until-ready": false, "continuously": true})
		},
	})
}

// prometheus [ADDRESS] { runtime_metrics }
func (b *blockReader) prometheus(a *args) {
	p := &b.config.Prometheus
	b.Prometheus = b.serve(a, &p.Addresses, defaultPrometheusAddress)
	a.options(options{
		"runtime_metrics": set(&p.RuntimeMetrics),
		"tls":             nil,
	})
}

// pprof [ADDRESS] { block [RATE] }
func (b *blockReader) pprof(a *args) {
	p := &b.config.Pprof
	b.serve(a, &p.Addresses, defaultPprofAddress)
	a.options(options{
		"block": func(o *args) {
			p.BlockRate = defaultBlockRate
			if o.more() {
				p.BlockRate = o.number(1, math.MaxInt32)
			}
		},
	})
}

// dashboard [ADDRESS] { host NAME… }
func (b *blockReader) dashboard(a *args) {
	d := &b.config.Dashboard
	b.serve(a, &d.Addresses, defaultDashboardAddress)
	a.options(options{
		"host": func(o *args) {
			for _, name := range o.atLeastOne("a host name") {
				d.Hosts = append(d.Hosts, strings.ToLower(strings.TrimSuffix(name, ".")))
			}
		},
	})
}

// reload [INTERVAL] [JITTER]
func (b *blockReader) reload(a *args) {
	r := Reload{Interval: defaultReloadInterval, Jitter: defaultReloadJitter}
	if a.more() {
		r.Interval = a.duration(leastReloadInterval, forever)
	}
	if a.more() {
		r.Jitter = a.duration(0, forever)
	}
	if r.Jitter > 0 && r.Jitter < leastReloadJitter {
		a.fail("got a jitter of %v, wants 0s or at least %v", r.Jitter, leastReloadJitter)
	}
	r.Jitter = min(r.Jitter, r.Interval/2)
	a.finish()
	b.config.Reload = r
}

// serve reads the optional address of an HTTP endpoint, adds it to all once, and returns it.
func (b *blockReader) serve(a *args, all *[]string, standard string) string {
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

func summarizeHealth(c *Config) string {
	return endpoint("health", c.Health.Addresses, when(c.Health.Lameduck > 0, ", lameduck %v", c.Health.Lameduck))
}

func summarizeReady(b *Block, s *summary) { s.note(b.Ready, "ready") }

func summarizeReadiness(c *Config) string {
	return endpoint("ready", c.Ready.Addresses, when(c.Ready.Continuously, ", continuously"))
}

func usesPrometheus(b *Block) bool { return b.Prometheus != "" }

func summarizeMeasured(b *Block, s *summary) { s.note(b.Prometheus != "", "prometheus") }

func summarizePrometheus(c *Config) string {
	return endpoint("prometheus", c.Prometheus.Addresses, when(c.Prometheus.RuntimeMetrics, ", with runtime metrics"))
}

func summarizePprof(c *Config) string {
	return endpoint("pprof", c.Pprof.Addresses, when(c.Pprof.BlockRate > 0, ", block rate %d", c.Pprof.BlockRate))
}

func summarizeDashboard(c *Config) string {
	d := &c.Dashboard
	return endpoint("dashboard", d.Addresses, when(len(d.Hosts) > 0, ", for %s", strings.Join(d.Hosts, " ")))
}

func summarizeReload(c *Config) string {
	return when(c.Reload.Interval > 0, "reload every %v, jitter %v", c.Reload.Interval, c.Reload.Jitter)
}

// endpoint is the line of an HTTP endpoint, "" when it is off.
func endpoint(name string, addresses []string, more string) string {
	return when(len(addresses) > 0, "%s %s%s", name, strings.Join(addresses, " "), more)
}

func when(yes bool, format string, values ...any) string {
	if yes {
		return fmt.Sprintf(format, values...)
	}
	return ""
}
