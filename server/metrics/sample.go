package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterdns/clusterdns/observe"
)

// Kind is what a metric's value means.
type Kind uint8

// The kinds of Sample that hold one value. Histogram makes those that hold many.
const (
	Counter Kind = iota // only grows
	Gauge
	histogram
)

// Sample is one series of a metric and its value. Labels are names and values in turn; a metric has the same names in
// all its samples.
type Sample struct {
	Name   string
	Help   string
	Kind   Kind
	Labels []string
	Value  float64 // the sum of the values of a histogram

	count   uint64             // of a histogram
	buckets map[float64]uint64 // of a histogram: how many values are at or below each bound
}

// Histogram is s with what h has counted by bounds. unit is how many units of the values and bounds make one of the
// metric's unit, such as time.Second for nanoseconds in a metric of seconds.
func (s Sample) Histogram(h *observe.Histogram, bounds []int64, unit float64) Sample {
	s.Kind, s.Value, s.buckets = histogram, float64(h.Sum)/unit, make(map[float64]uint64, len(bounds))
	for i, bound := range bounds {
		s.count += h.Counts[i]
		s.buckets[float64(bound)/unit] = s.count
	}
	s.count += h.Counts[len(bounds)]
	return s
}

// With is labels and more, in memory of its own.
func With(labels []string, more ...string) []string {
	return append(append(make([]string, 0, len(labels)+len(more)), labels...), more...)
}

// merged are samples by name and labels. Two blocks that forward to the same upstream, say, report the same series:
// they are added up.
type merged map[string]*Sample

func (m merged) add(s Sample) {
	key := s.Name + "\x00" + strings.Join(s.Labels, "\x00")
	old := m[key]
	if old == nil {
		m[key] = &s
		return
	}
	old.Value += s.Value
	old.count += s.count
	for bound, n := range s.buckets {
		old.buckets[bound] += n
	}
}

// metric is the sample in Prometheus's form.
func (s *Sample) metric() prometheus.Metric {
	names, values := make([]string, 0, 8), make([]string, 0, 8)
	for i := 0; i+1 < len(s.Labels); i += 2 {
		names, values = append(names, s.Labels[i]), append(values, s.Labels[i+1])
	}
	desc := prometheus.NewDesc(s.Name, s.Help, names, nil)
	var metric prometheus.Metric
	var err error
	switch s.Kind {
	case histogram:
		metric, err = prometheus.NewConstHistogram(desc, s.count, s.Value, s.buckets, values...)
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
