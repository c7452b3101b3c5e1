// Package metrics has the one Prometheus collector. Rooms give it functions that gather their samples; it knows nothing
// of what they count.
//
// Invariant: nothing is counted here. A scrape reads the counters of the rooms, adds up samples of the same series, and
// keeps none of it.
//
// Concurrency: any number of goroutines may scrape, and set what is gathered, at the same time. No lock is held while a
// room gathers, so a room may take its own locks, and may hold them when it calls Set.
package metrics

import (
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Collector is the one Prometheus collector.
type Collector struct {
	registry *prometheus.Registry
	build    []string // labels of coredns_build_info

	mu       sync.Mutex
	rooms    map[string]func(Emit)
	golang   prometheus.Collector // of the runtime
	detailed bool
}

// New makes the collector. version and revision go into coredns_build_info.
func New(version, revision string) *Collector {
	c := &Collector{registry: prometheus.NewRegistry(), rooms: map[string]func(Emit){}}
	c.build = []string{"goversion", runtime.Version(), "revision", revision, "version", version}
	c.registry.MustRegister(c, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	c.SetDetailed(false)
	return c
}

// SetDetailed chooses between the usual metrics of Go's runtime and all of them.
func (c *Collector) SetDetailed(all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.golang != nil && all == c.detailed {
		return
	}
	if c.golang != nil {
		c.registry.Unregister(c.golang)
	}
	c.detailed, c.golang = all, collectors.NewGoCollector()
	if all {
		c.golang = collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll))
	}
	c.registry.MustRegister(c.golang)
}

// Handler serves the metrics over HTTP.
func (c *Collector) Handler() http.Handler {
	options := promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}
	return newScrapes(promhttp.HandlerFor(c.registry, options))
}

// Set makes gather the source of a room's samples, in place of the one before; nil removes the room. gather calls emit
// with each sample. It is called at each scrape, by any goroutine, and must not block.
func (c *Collector) Set(room string, gather func(emit Emit)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if gather == nil {
		delete(c.rooms, room)
		return
	}
	c.rooms[room] = gather
}

// Describe implements prometheus.Collector. It says nothing: the rooms' metrics are known only when they are gathered.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	rooms := slices.Collect(maps.Values(c.rooms))
	c.mu.Unlock()
	samples := merged{}
	emit := Emit(samples.add)
	emit.Gauge("coredns_build_info", "A metric with a constant '1' value labeled by version, revision, and goversion "+
		"from which the server was built.", 1, c.build...)
	for _, gather := range rooms {
		gather(emit)
	}
	for _, s := range samples {
		out <- s.metric()
	}
}
