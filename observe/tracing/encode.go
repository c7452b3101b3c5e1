package tracing

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Format is a protocol of collectors.
type Format string

// The protocols.
const (
	Zipkin  Format = "zipkin"
	OTLP    Format = "otlp"
	Datadog Format = "datadog"
)

// encode is the body of a request.
func (o *Options) encode(batch []*Trace) ([]byte, error) {
	switch o.Format {
	case OTLP:
		return json.Marshal(o.otlp(batch))
	case Datadog:
		return json.Marshal(o.datadog(batch))
	}
	return json.Marshal(o.zipkin(batch))
}

// Text is the trace's ID as its collector shows it.
func (t *Trace) Text(f Format) string {
	if f == OTLP {
		return hexID(t.ID[0]) + hexID(t.ID[1])
	}
	return hexID(t.ID[1])
}

func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }

// Zipkin, https://zipkin.io/zipkin-api: times are microseconds.
type zipkinSpan struct {
	Timestamp int64             `json:"timestamp"`
	Duration  int64             `json:"duration"`
	TraceID   string            `json:"traceId"`
	ID        string            `json:"id"`
	ParentID  string            `json:"parentId,omitempty"`
	Name      string            `json:"name"`
	Kind      string            `json:"kind,omitempty"`
	Local     *zipkinEndpoint   `json:"localEndpoint,omitempty"`
	Notes     []zipkinNote      `json:"annotations,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
}

type zipkinNote struct {
	Timestamp int64  `json:"timestamp"`
	Value     string `json:"value"`
}

type zipkinEndpoint struct {
	ServiceName string `json:"serviceName,omitempty"`
	IPv4        string `json:"ipv4,omitempty"`
	IPv6        string `json:"ipv6,omitempty"`
	Port        uint16 `json:"port,omitempty"`
}

func newZipkinEndpoint(service string, a netip.AddrPort) *zipkinEndpoint {
	e := &zipkinEndpoint{ServiceName: service, Port: a.Port()}
	switch addr := a.Addr().Unmap().WithZone(""); {
	case addr.Is4():
		e.IPv4 = addr.String()
	case addr.Is6():
		e.IPv6 = addr.String()
	}
	return e
}

func (o *Options) zipkin(batch []*Trace) (spans []zipkinSpan) {
	local := newZipkinEndpoint(o.Service, o.Local)
	for _, t := range batch {
		for i := range t.Spans {
			s := &t.Spans[i]
			span := zipkinSpan{
				Timestamp: s.Begin.UnixMicro(), Duration: max(s.End.Sub(s.Begin).Microseconds(), 1), TraceID: hexID(t.ID[1]),
				ID: hexID(s.ID), Name: s.Name, Local: local, Tags: map[string]string{},
			}
			if s.Parent != 0 {
				span.ParentID = hexID(s.Parent)
			}
			if s.Kind == Server {
				span.Kind = "SERVER"
			}
			for _, tag := range s.Tags {
				span.Tags[tag.Key] = tag.Value
			}
			if s.Error != "" {
				at := s.End.UnixMicro()
				span.Tags["error"] = "true"
				span.Notes = []zipkinNote{{at, "event:error"}, {at, "error.object:" + s.Error}}
			}
			spans = append(spans, span)
		}
	}
	return spans
}

// OTLP, https://opentelemetry.io/docs/specs/otlp: in JSON, 64-bit numbers are strings, and IDs are in hex.
type (
	otlpRequest struct {
		ResourceSpans []otlpResource `json:"resourceSpans"`
	}
	otlpResource struct {
		Resource   otlpAttributes `json:"resource"`
		ScopeSpans []otlpScope    `json:"scopeSpans"`
	}
	otlpAttributes struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		String string `json:"stringValue"`
	}
	otlpScope struct {
		Scope struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		ParentID   string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"` // 1 internal, 2 server
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Status     *otlpStatus     `json:"status,omitempty"`
	}
	otlpStatus struct {
		Code    int    `json:"code"` // 2 error
		Message string `json:"message"`
	}
)

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func (o *Options) otlp(batch []*Trace) otlpRequest {
	var scope otlpScope
	scope.Scope.Name, scope.Scope.Version = "clusterdns", o.Version
	for _, t := range batch {
		for i := range t.Spans {
			s := &t.Spans[i]
			span := otlpSpan{TraceID: t.Text(OTLP), SpanID: hexID(s.ID), Name: s.Name, Kind: 1,
				Start: nanoseconds(s.Begin), End: nanoseconds(s.End)}
			if s.Parent != 0 {
				span.ParentID = hexID(s.Parent)
			}
			if s.Kind == Server {
				span.Kind = 2
			}
			for _, tag := range s.Tags {
				span.Attributes = append(span.Attributes, otlpAttribute{tag.Key, otlpValue{tag.Value}})
			}
			if s.Error != "" {
				span.Status = &otlpStatus{2, s.Error}
			}
			scope.Spans = append(scope.Spans, span)
		}
	}
	service := otlpAttributes{[]otlpAttribute{{"service.name", otlpValue{o.Service}}}}
	return otlpRequest{[]otlpResource{{service, []otlpScope{scope}}}}
}

// Datadog, https://docs.datadoghq.com/tracing/guide/send_traces_to_agent_by_api: a list of traces, each a list of spans;
// times are nanoseconds.
type datadogSpan struct {
	Service  string             `json:"service"`
	Name     string             `json:"name"`
	Resource string             `json:"resource"`
	Type     string             `json:"type,omitempty"`
	TraceID  uint64             `json:"trace_id"`
	SpanID   uint64             `json:"span_id"`
	ParentID uint64             `json:"parent_id"`
	Start    int64              `json:"start"`
	Duration int64              `json:"duration"`
	Error    int32              `json:"error"`
	Meta     map[string]string  `json:"meta,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
}

func (o *Options) datadog(batch []*Trace) (traces [][]datadogSpan) {
	for _, t := range batch {
		spans := make([]datadogSpan, 0, len(t.Spans))
		for i := range t.Spans {
			s := &t.Spans[i]
			span := datadogSpan{Service: o.Service, Name: s.Name, Resource: s.Name, TraceID: t.ID[1], SpanID: s.ID,
				ParentID: s.Parent, Start: s.Begin.UnixNano(), Duration: s.End.Sub(s.Begin).Nanoseconds(),
				Meta: map[string]string{"dns": "true"}}
			for _, tag := range s.Tags {
				span.Meta[tag.Key] = tag.Value
			}
			if s.Error != "" {
				span.Error, span.Meta["error.message"], span.Meta["error.type"] = 1, s.Error, "dns_error"
			}
			if i == 0 {
				span.Metrics = map[string]float64{"_sampling_priority_v1": 1}
				if o.Analytics > 0 {
					span.Metrics["_dd1.sr.eausr"] = o.Analytics
				}
			}
			spans = append(spans, span)
		}
		traces = append(traces, spans)
	}
	return traces
}
