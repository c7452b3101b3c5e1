package config

import (
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/clusterdns/clusterdns/observe/tracing"
	"github.com/clusterdns/clusterdns/resolver"
)

// defaultService is what traces call this server, as in CoreDNS.
const defaultService = "coredns"

// traceEndpoints are the protocols of trace: where a collector is if trace does not say, and the path of its API.
var traceEndpoints = map[string]struct{ endpoint, path string }{
	"zipkin":  {"localhost:9411", "/api/v2/spans"},
	"otlp":    {"localhost:4318", "/v1/traces"},
	"datadog": {"localhost:8126", "/v0.4/traces"},
}

// trace [zipkin|datadog|otlp] [ENDPOINT] { every AMOUNT; service NAME; … }
func (b *blockReader) trace(a *args) {
	number, _ := ProgramVersion()
	t := &resolver.Trace{Every: 1, Collector: tracing.Options{Format: tracing.Zipkin, Service: defaultService,
		Version: number}}
	c := &t.Collector
	endpoint := ""
	switch words := a.rest(); {
	case len(words) > 2:
		a.fail("wants [zipkin|datadog|otlp] [ENDPOINT]")
	case len(words) == 2:
		c.Format, endpoint = tracing.Format(strings.ToLower(words[0])), words[1]
	case len(words) == 1:
		endpoint = words[0]
		if _, kind := traceEndpoints[endpoint]; kind {
			a.warnf("%q is read as the host of a Zipkin: write trace %s ENDPOINT", endpoint, endpoint)
		}
	}
	c.URL = a.traceURL(string(c.Format), endpoint)
	a.options(options{
		"every":   func(o *args) { t.Every = uint64(o.number(0, math.MaxInt32)) },
		"service": func(o *args) { c.Service = o.word("the name of this server") },
		"client_server": func(o *args) {
			if o.more() {
				choose(o, truths)
			}
			o.hasNoEffect("is about the trace context of a request, which is not read, and")
		},
		"datadog_analytics_rate":    func(o *args) { c.Analytics = o.share() },
		"zipkin_max_backlog_size":   func(o *args) { c.Backlog = o.number(1, mostBacklog) },
		"zipkin_max_batch_size":     func(o *args) { c.Batch = o.number(1, mostBacklog) },
		"zipkin_max_batch_interval": func(o *args) { c.Interval = o.duration(positive, forever) },
	})
	b.Steps.Trace = t
}

// mostBacklog is the most spans that trace may keep: of 300 octets each, 300 MB.
const mostBacklog = 1_000_000

// truths are the words that CoreDNS takes for true and false.
var truths = map[string]bool{"true": true, "false": false, "1": true, "0": false, "t": true, "f": false, "T": true,
	"F": false, "TRUE": true, "FALSE": false, "True": true, "False": false}

// share reads a number from 0 to 1; 0 without a word.
func (a *args) share() float64 {
	if !a.more() {
		return 0
	}
	w := a.word("")
	rate, err := strconv.ParseFloat(w, 64)
	if err != nil || !(rate >= 0 && rate <= 1) {
		a.fail("got %q, wants a number from 0 to 1", w)
		return 0
	}
	return rate
}

// traceURL is where spans are sent.
func (a *args) traceURL(format, endpoint string) string {
	standard, known := traceEndpoints[format]
	if a.err != nil {
		return ""
	}
	if !known {
		a.fail("%q is none of the types datadog, otlp and zipkin; Jaeger, Tempo and others take otlp", format)
		return ""
	}
	if endpoint == "" {
		endpoint = standard.endpoint
	}
	if !strings.HasPrefix(strings.ToLower(endpoint), "http://") && !strings.HasPrefix(strings.ToLower(endpoint), "https://") {
		endpoint = "http://" + endpoint + standard.path
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Host, ":") && portOf(u.Host) == "" {
		a.fail("%q is no endpoint such as %s or http://%s%s", endpoint, standard.endpoint, standard.endpoint, standard.path)
		return ""
	}
	if u.Path == "" || u.Path == "/" && format != "zipkin" {
		u.Path = standard.path
	}
	return u.String()
}

func portOf(host string) string {
	_, port, _ := net.SplitHostPort(host)
	return port
}

func usesTrace(b *Block) bool { return b.Steps.Trace != nil }

func summarizeTrace(b *Block, s *summary) {
	if t := b.Steps.Trace; t != nil {
		c := &t.Collector
		l := s.step("trace to %s at %s", c.Format, c.URL)
		l.add(t.Every != 1, "one query of %d", t.Every)
		l.add(c.Service != defaultService, "service %s", c.Service)
		l.add(c.Analytics > 0, "analytics rate %v", c.Analytics)
		l.add(c.Backlog > 0, "backlog %d", c.Backlog)
		l.add(c.Batch > 0, "batches of %d", c.Batch)
		l.add(c.Interval > 0, "each %v", c.Interval)
	}
}
