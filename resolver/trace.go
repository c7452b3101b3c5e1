package resolver

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe/tracing"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Trace is directive trace: what becomes of a query is sent to a collector as spans.
type Trace struct {
	Collector tracing.Options
	Every     uint64 // one query of so many is traced; 0 for none
}

// exporter is a part.
type exporter struct{ *tracing.Exporter }

func (e *exporter) run(ctx context.Context) { e.Run(ctx) }

// tracer is directive trace of one block.
type tracer struct {
	every    uint64
	count    atomic.Uint64
	exporter *exporter
	tags     *traceTags
	format   tracing.Format
}

// traceTags are the names of the tags of a query's span.
type traceTags struct{ name, typ, rcode, proto, remote string }

// The names are CoreDNS's.
var (
	slashTags = &traceTags{"coredns.io/name", "coredns.io/type", "coredns.io/rcode", "coredns.io/proto",
		"coredns.io/remote"}
	datadogTags = &traceTags{"coredns.io@name", "coredns.io@type", "coredns.io@rcode", "coredns.io@proto",
		"coredns.io@remote"}
)

func (r *Resolver) newTracer(b *block, log *slog.Logger) error {
	o := b.options.Trace
	if o == nil {
		return nil
	}
	e, err := obtain(r, "trace", o.Collector, func() (*exporter, error) {
		return &exporter{tracing.NewExporter(o.Collector, log)}, nil
	})
	b.tracer = &tracer{every: o.Every, exporter: e, tags: slashTags, format: o.Collector.Format}
	if o.Collector.Format == tracing.Datadog {
		b.tracer.tags = datadogTags
	}
	return err
}

// traced is the trace of one query.
type traced struct {
	*tracing.Trace
	by     *tracer
	parent uint64 // of the next span: CoreDNS's plugins call each other, so each is below the one before it
}

// begin traces one query of every; nil for the others, and without the directive.
func (t *tracer) begin(r *Request) *traced {
	if t == nil || t.every == 0 || t.count.Add(1)%t.every != 0 {
		return nil
	}
	trace := tracing.New("servedns", r.Now)
	return &traced{trace, t, trace.Spans[0].ID}
}

// step adds the span of a step that begins. All spans of steps end with the query.
func (t *traced) step(name string) {
	if s := t.Begin(t.parent, name, time.Now()); s != nil {
		t.parent = s.ID
	}
}

// spanned is s with a span for each traced query.
func spanned(name string, s step) step {
	return func(r *Request, q *question) result {
		if r.trace != nil {
			r.trace.step(name)
		}
		return s(r, q)
	}
}

// failed notes why there is no answer.
func (r *Request) failed(res *result) {
	switch {
	case r.trace == nil:
	case res.message != nil:
		r.trace.Spans[0].Error = res.message.text
	default:
		r.trace.Spans[0].Error = res.words
	}
}

// Ended ends the request's trace. A listener calls it when it knows what becomes of the query.
func (r *Request) Ended() {
	t := r.trace
	if t == nil {
		return
	}
	r.trace = nil
	now, tags := time.Now(), t.by.tags
	for i := range t.Spans {
		if s := &t.Spans[i]; s.End.IsZero() {
			s.End = now
		}
	}
	t.Spans[0].Tags = []tracing.Tag{
		{Key: tags.name, Value: wire.NameString(r.Query.Name())}, {Key: tags.typ, Value: dns.Type(r.Query.Type).String()},
		{Key: tags.proto, Value: r.Proto.String()}, {Key: tags.remote, Value: r.Client.Addr().Unmap().String()},
		{Key: tags.rcode, Value: rcodeText(r.Reply.Rcode)},
	}
	if r.Reply.Rcode != wire.ServerFailure {
		t.Spans[0].Error = ""
	}
	t.by.exporter.Add(t.Trace)
}

// traceID is the ID of the trace of a query that is traced, for metadata.
func (r *Request) traceID() (id string, ok bool) {
	if r.trace == nil || !r.HasMetadata() {
		return "", false
	}
	return r.trace.Text(r.trace.by.format), true
}

func rcodeText(rcode wire.Rcode) string {
	if text := dns.RcodeToString[int(rcode)]; text != "" {
		return text
	}
	return "RCODE" + dns.Type(rcode).String()[len("TYPE"):]
}

// attempts are the upstreams that were asked for one question, and when.
type attempts struct {
	mu  sync.Mutex
	all []attempt
}

type attempt struct {
	to         netip.AddrPort
	began, end time.Time
}

func (a *attempts) add(to netip.AddrPort, began time.Time) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, attempt{to, began, time.Now()})
}

// connects adds a span for each attempt. A question that has waited for the answer to an equal one shares its attempts
// if that one was traced too.
func (t *traced) connects(a *attempts) {
	if t == nil || a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range a.all {
		s := t.Begin(t.parent, "connect", one.began)
		if s == nil {
			return
		}
		s.End, s.Tags = one.end, []tracing.Tag{{Key: "peer.address", Value: one.to.String()}}
	}
}

// writes reports whether the block has the directive that a step is of. Some steps are there without one.
func (b *block) writes(directive string) bool {
	switch directive {
	case "":
		return false
	case "transfer":
		return len(b.transfers) > 0
	case "forward":
		return len(b.forwarders) > 0
	}
	return true
}

// generalName is the directive of the zones that are read from elsewhere, the first where there are several.
func (b *block) generalName() string {
	switch {
	case len(b.options.Files) > 0:
		return "file"
	case len(b.options.Folders) > 0:
		return "auto"
	}
	return "secondary"
}
