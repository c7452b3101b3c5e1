package collectors

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/DataDog/datadog-agent/pkg/proto/pbgo/trace"
	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
	"github.com/openzipkin/zipkin-go/model"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// span is what a collector has read of a span.
type span struct {
	trace, id, parent string
	service           string
	name, kind        string
	begin             time.Time
	took              time.Duration
	tags              map[string]string
	failed            string
}

// The readers of what collectors are sent: those of Zipkin's own library, of the OpenTelemetry Collector, and of
// Datadog's agent.
var formats = map[string]struct {
	path string
	read func([]byte) ([]span, error)
}{
	"zipkin":  {"/api/v2/spans", readZipkin},
	"otlp":    {"/v1/traces", readOTLP},
	"datadog": {"/v0.4/traces", readDatadog},
}

func readZipkin(body []byte) (list []span, err error) {
	var all []model.SpanModel
	err = json.Unmarshal(body, &all)
	for _, s := range all {
		one := span{trace: s.TraceID.String(), id: s.ID.String(), service: s.LocalEndpoint.ServiceName, name: s.Name,
			kind: string(s.Kind), begin: s.Timestamp, took: s.Duration, tags: s.Tags}
		if s.ParentID != nil {
			one.parent = s.ParentID.String()
		}
		if s.LocalEndpoint.IPv4.String() != "127.0.0.1" || s.LocalEndpoint.Port == 0 {
			err = fmt.Errorf("local endpoint %+v", s.LocalEndpoint)
		}
		for _, a := range s.Annotations {
			if _, text, is := strings.Cut(a.Value, "error.object:"); is {
				one.failed = text
			}
		}
		delete(one.tags, "error")
		list = append(list, one)
	}
	return list, err
}

func readOTLP(body []byte) (list []span, err error) {
	request := ptraceotlp.NewExportRequest()
	if err := request.UnmarshalJSON(body); err != nil {
		return nil, err
	}
	tags := func(m pcommon.Map) map[string]string {
		all := map[string]string{}
		for k, v := range m.All() {
			all[k] = v.AsString()
		}
		return all
	}
	for _, resource := range request.Traces().ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				list = append(list, span{trace: s.TraceID().String(), id: s.SpanID().String(), parent: s.ParentSpanID().String(),
					service: tags(resource.Resource().Attributes())["service.name"], name: s.Name(),
					kind:  strings.ToUpper(strings.ReplaceAll(s.Kind().String(), "Internal", "")),
					begin: s.StartTimestamp().AsTime(), took: s.EndTimestamp().AsTime().Sub(s.StartTimestamp().AsTime()),
					tags: tags(s.Attributes()), failed: s.Status().Message()})
			}
		}
	}
	return list, nil
}

func readDatadog(body []byte) (list []span, err error) {
	var traces pb.Traces
	err = json.Unmarshal(body, &traces)
	for _, t := range traces {
		for i, s := range t {
			one := span{trace: fmt.Sprint(s.TraceID), id: fmt.Sprint(s.SpanID), service: s.Service, name: s.Name,
				begin: time.Unix(0, s.Start), took: time.Duration(s.Duration), tags: map[string]string{}, failed: s.Meta["error.message"]}
			if s.ParentID != 0 {
				one.parent = fmt.Sprint(s.ParentID)
			}
			if i == 0 {
				one.kind = "SERVER"
			}
			for k, v := range s.Meta {
				if !strings.HasPrefix(k, "error") && k != "dns" {
					one.tags[strings.Replace(k, "@", "/", 1)] = v
				}
			}
			if s.Resource != s.Name || s.Meta["dns"] != "true" || (s.Error == 1) != (one.failed != "") {
				err = fmt.Errorf("%+v", s)
			}
			list = append(list, one)
		}
	}
	return list, err
}

// text is a span with all that is not of chance, and the text of the spans below it.
func (s span) text(all []span, indent string) string {
	b := indent + s.service + " " + s.name
	if s.kind != "" {
		b += " " + s.kind
	}
	for _, k := range []string{"name", "type", "proto", "remote", "rcode"} {
		if v, is := s.tags["coredns.io/"+k]; is {
			b += " " + v
		}
	}
	if v, is := s.tags["peer.address"]; is {
		b += " " + v
	}
	b += "\n"
	for _, below := range all {
		if below.trace == s.trace && below.parent == s.id {
			b += below.text(all, indent+" ")
		}
	}
	return b
}

// collector is a server that spans are sent to. It says 500 while down is set.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
	down  bool
}

func collect(t *testing.T, format string) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		if c.down {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if r.URL.Path != formats[format].path || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s, %v", r.Method, r.URL, r.Header)
		}
		if len(r.Header["B3"])+len(r.Header["Traceparent"]) > 0 {
			t.Errorf("%v", r.Header)
		}
		spans, err := formats[format].read(body)
		if err != nil {
			t.Errorf("%v: %s", err, body)
		}
		c.spans = append(c.spans, spans...)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(c.Close)
	return c
}

// roots is the first n traces, as soon as they have come.
func (c *collector) roots(t *testing.T, n int) (list []string, all []span) {
	t.Helper()
	await(t, fmt.Sprintf("trace %d", n), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		list, all = nil, slices.Clone(c.spans)
		for _, s := range all {
			if s.parent == "" {
				list = append(list, s.text(all, ""))
			}
		}
		return len(list) >= n
	})
	return list, all
}

// TestTrace: what becomes of a query is read by the libraries of three kinds of collectors. The names and tags are those
// that CoreDNS 1.15.0 sends to Zipkin for the same Corefile, without a span for errors, which is no step here.
func TestTrace(t *testing.T) {
	up := upstream(t)
	closed := "127.0.0.1:" + process.FreePort(t)
	for format := range formats {
		t.Run(format, func(t *testing.T) {
			c, port := collect(t, format), process.FreePort(t)
			start(t, process.Clusterdns, `.:`+port+` {
    bind 127.0.0.1
    trace `+format+` `+strings.TrimPrefix(c.URL, "http://")+` {
        service lab
    }
    errors
    acl {
        drop type MX
    }
    hosts {
        203.0.113.7 host.test
        fallthrough
    }
    cache
    forward refused.test `+closed+`
    forward . `+up+`
}`, "127.0.0.1:"+port)
			began := time.Now()
			for _, q := range []struct{ network, name string }{
				{"udp", "host.test."}, {"tcp", "www.forwarded.test."}, {"udp", "www.forwarded.test."}, {"udp", "www.refused.test."},
			} {
				ask(t, q.network, "127.0.0.1:"+port, new(dns.Msg).SetQuestion(q.name, dns.TypeA))
			}
			client := &dns.Client{Timeout: 100 * time.Millisecond}
			client.Exchange(new(dns.Msg).SetQuestion("dropped.test.", dns.TypeMX), "127.0.0.1:"+port)
			want := []string{
				"lab servedns SERVER host.test. A udp 127.0.0.1 NOERROR\n lab acl\n  lab hosts\n",
				"lab servedns SERVER www.forwarded.test. A tcp 127.0.0.1 NOERROR\n lab acl\n  lab hosts\n   lab cache\n    lab forward\n" +
					"     lab connect " + up + "\n",
				"lab servedns SERVER www.forwarded.test. A udp 127.0.0.1 NOERROR\n lab acl\n  lab hosts\n   lab cache\n",
				"lab servedns SERVER www.refused.test. A udp 127.0.0.1 SERVFAIL\n lab acl\n  lab hosts\n   lab cache\n    lab forward\n" +
					"     lab connect " + closed + "\n     lab connect " + closed + "\n",
				"lab servedns SERVER dropped.test. MX udp 127.0.0.1 NOERROR\n lab acl\n",
			}
			got, all := c.roots(t, len(want))
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("trace %d is\n%sand not\n%s", i, got[i], want[i])
				}
			}
			ids := map[string]bool{}
			for _, s := range all {
				if since := s.begin.Sub(began); since < -time.Second || s.took <= 0 || since+s.took > time.Minute {
					t.Errorf("%+v", s)
				}
				if refused := strings.Contains(s.failed, "refuses to be asked"); s.kind == "SERVER" &&
					refused != (s.tags["coredns.io/rcode"] == "SERVFAIL") || s.kind == "" && s.failed != "" {
					t.Errorf("%+v", s)
				}
				ids[s.id] = true
			}
			if len(ids) != len(all) {
				t.Errorf("%d spans have %d IDs", len(all), len(ids))
			}
		})
	}
}

// TestTraceEvery: one query of so many is traced, and a collector that takes nothing is no matter to clients; it gets what
// comes when it is back.
func TestTraceEvery(t *testing.T) {
	c, port := collect(t, "zipkin"), process.FreePort(t)
	c.down = true
	start(t, process.Clusterdns, `.:`+port+` {
    bind 127.0.0.1
    trace `+c.URL+`/api/v2/spans {
        every 3
        zipkin_max_backlog_size 10
        zipkin_max_batch_interval 10ms
    }
    whoami
}`, "127.0.0.1:"+port)
	for i := range 300 {
		ask(t, "udp", "127.0.0.1:"+port, new(dns.Msg).SetQuestion(fmt.Sprintf("down-%d.test.", i), dns.TypeA))
	}
	c.mu.Lock()
	c.down = false
	c.mu.Unlock()
	asked := 0
	await(t, "a trace after the collector is back", func() bool {
		for range 3 {
			ask(t, "udp", "127.0.0.1:"+port, new(dns.Msg).SetQuestion("up.test.", dns.TypeA))
			asked++
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.ContainsFunc(c.spans, func(s span) bool { return s.tags["coredns.io/name"] == "up.test." })
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	traces := 0
	for _, s := range c.spans {
		if s.kind == "SERVER" {
			traces++
		}
	}
	if most := (300 + asked) / 3; traces > most {
		t.Errorf("%d traces of %d queries", traces, 300+asked)
	}
}
