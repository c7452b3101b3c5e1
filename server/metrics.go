package server

import (
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Kind is what a metric's value means.
type Kind uint8

// The kinds of Sample.
const (
	Counter Kind = iota // only grows
	Gauge
	Histogram
)

// Sample is one value that a room reports. Labels are names and values in turn; a metric has the same names in all its samples.
type Sample struct {
	Name    string
	Help    string
	Kind    Kind
	Labels  []string
	Value   float64            // of a Counter or Gauge; the sum of a Histogram
	Count   uint64             // of a Histogram
	Buckets map[float64]uint64 // of a Histogram: observations up to each bound, those below it included
}

// Gather calls emit with each of a room's samples. It is called at each scrape, by any goroutine, and must not block.
type Gather func(emit func(Sample))

// PluginUse is one directive that is in use, for coredns_plugin_enabled.
type PluginUse struct{ Server, Zone, Name string }

// Metrics is the one Prometheus collector. It keeps nothing itself: at a scrape it reads the counters of the listeners and of the
// rooms that were given to it.
type Metrics struct {
	registry *prometheus.Registry
	version  string
	revision string

	mu        sync.Mutex
	listeners []*Listener
	enabled   []PluginUse
	rooms     map[string]Gather
	golang    prometheus.Collector // of the runtime
	detailed  bool
}

// NewMetrics makes the collector. version and revision go into coredns_build_info.
func NewMetrics(version, revision string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), version: version, revision: revision, rooms: map[string]Gather{}}
	m.registry.MustRegister(m, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.SetDetailed(false)
	return m
}

// SetDetailed chooses between the usual metrics of Go's runtime and all of them.
func (m *Metrics) SetDetailed(all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.golang != nil && all == m.detailed {
		return
	}
	if m.golang != nil {
		m.registry.Unregister(m.golang)
	}
	m.detailed, m.golang = all, collectors.NewGoCollector()
	if all {
		m.golang = collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsAll))
	}
	m.registry.MustRegister(m.golang)
}

// Handler serves the metrics over HTTP.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// Set makes gather the source of a room's samples, in place of what room had before; nil takes the room out.
func (m *Metrics) Set(room string, gather Gather) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if gather == nil {
		delete(m.rooms, room)
		return
	}
	m.rooms[room] = gather
}

// SetListeners names the listeners whose queries are counted, and the directives that are in use.
func (m *Metrics) SetListeners(listeners []*Listener, enabled []PluginUse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listeners, m.enabled = listeners, enabled
}

// Describe implements prometheus.Collector. It says nothing: the rooms' metrics are known only when they are gathered.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	samples := merged{}
	m.gather(samples.add)
	for _, s := range samples {
		out <- s.metric()
	}
}

// merged are samples by name and labels. Two blocks that forward to the same upstream, say, report the same series: they are added up.
type merged map[string]*Sample

func (m merged) add(s Sample) {
	key := s.Name + "\x00" + strings.Join(s.Labels, "\x00")
	old := m[key]
	if old == nil {
		m[key] = &s
		return
	}
	old.Value += s.Value
	old.Count += s.Count
	for bound, n := range s.Buckets {
		old.Buckets[bound] += n
	}
}

// gather emits what the listeners and the rooms have counted. It holds no lock meanwhile: those that are asked take theirs, and may
// hold them when they call Set.
func (m *Metrics) gather(emit func(Sample)) {
	m.mu.Lock()
	listeners, enabled, rooms := m.listeners, m.enabled, slices.Collect(maps.Values(m.rooms))
	m.mu.Unlock()
	emit(Sample{Name: "coredns_build_info", Kind: Gauge, Value: 1,
		Help:   "A metric with a constant '1' value labeled by version, revision, and goversion from which the server was built.",
		Labels: []string{"goversion", runtime.Version(), "revision", m.revision, "version", m.version}})
	for _, use := range enabled {
		emit(Sample{Name: "coredns_plugin_enabled", Kind: Gauge, Value: 1,
			Help:   "A metric that indicates whether a plugin is enabled on per server and zone basis.",
			Labels: []string{"server", use.Server, "zone", use.Zone, "view", "", "name", use.Name}})
	}
	var panics uint64
	for _, l := range listeners {
		panics += l.panics.total.Load()
		l.gather(emit)
	}
	emit(Sample{Name: "coredns_panics_total", Help: "A metrics that counts the number of panics.", Value: float64(panics)})
	for _, gather := range rooms {
		gather(emit)
	}
}

// metric is the sample in Prometheus's form.
func (s Sample) metric() prometheus.Metric {
	names, values := make([]string, 0, 8), make([]string, 0, 8)
	for i := 0; i+1 < len(s.Labels); i += 2 {
		names, values = append(names, s.Labels[i]), append(values, s.Labels[i+1])
	}
	desc := prometheus.NewDesc(s.Name, s.Help, names, nil)
	var metric prometheus.Metric
	var err error
	switch s.Kind {
	case Histogram:
		metric, err = prometheus.NewConstHistogram(desc, s.Count, s.Value, s.Buckets, values...)
	case Gauge:
		metric, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.Value, values...)
	default:
		metric, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, s.Value, values...)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return metric
}
