package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterdns/clusterdns/observe"
)

// Sample is one series of a metric and its value. Rooms make samples by the methods of Emit.
type Sample struct {
	Name    string
	help    string
	kind    kind
	labels  []string           // names and values in turn; a metric has the same names in all its samples
	value   float64            // the sum of the values of a histogram
	count   uint64             // of a histogram
	buckets map[float64]uint64 // of a histogram: how many values are at or below each bound
}

// kind is what a metric's value means.
type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

// Emit takes a sample.
type Emit func(Sample)

// With emits samples with labels, names and values in turn, before their own.
func (emit Emit) With(labels ...string) Emit {
	return func(s Sample) {
		s.labels = slices.Concat(labels, s.labels)
		emit(s)
	}
}

// Counter emits a value that only grows.
func (emit Emit) Counter(name, help string, value uint64, labels ...string) {
	emit(Sample{Name: name, help: help, kind: counter, labels: labels, value: float64(value)})
}

// Panics emits how many panics a part of the server has recovered from; those of all parts are one metric.
func (emit Emit) Panics(count uint64) {
	emit.Counter("coredns_panics_total", "A metrics that counts the number of panics.", count)
}

// Gauge emits a value that may grow and shrink.
func (emit Emit) Gauge(name, help string, value float64, labels ...string) {
	emit(Sample{Name: name, help: help, kind: gauge, labels: labels, value: value})
}

// Histogram emits what h has counted by bounds. unit is how many units of the values and bounds make one of the metric:
// time.Second where they are nanoseconds and the metric has seconds.
func (emit Emit) Histogram(name, help string, h *observe.Histogram, bounds []int64, unit float64, labels ...string) {
	s := Sample{Name: name, help: help, kind: histogram, labels: labels, value: float64(h.Sum) / unit}
	s.buckets = make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		s.count += h.Counts[i]
		s.buckets[float64(bound)/unit] = s.count
	}
	s.count += h.Counts[len(bounds)]
	emit(s)
}

// merged are samples by name and labels. Two blocks that forward to the same upstream, say, report the same series:
// they are added up.
type merged map[string]*Sample

func (m merged) add(s Sample) {
	key := s.Name + "\x00" + strings.Join(s.labels, "\x00")
	old := m[key]
	if old == nil {
		m[key] = &s
		return
	}
	old.value += s.value
	old.count += s.count
	for bound, n := range s.buckets {
		old.buckets[bound] += n
	}
}

// metric is the sample in Prometheus's form.
func (s *Sample) metric() prometheus.Metric {
	names, values := make([]string, 0, 8), make([]string, 0, 8)
	for i := 0; i+1 < len(s.labels); i += 2 {
		names, values = append(names, s.labels[i]), append(values, s.labels[i+1])
	}
	desc := prometheus.NewDesc(s.Name, s.help, names, nil)
	var metric prometheus.Metric
	var err error
	switch s.kind {
	case histogram:
		metric, err = prometheus.NewConstHistogram(desc, s.count, s.value, s.buckets, values...)
	case gauge:
		metric, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, s.value, values...)
	default:
		metric, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, s.value, values...)
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return metric
}
