package tracing

import (
	"math/rand/v2"
	"time"
)

// MostSpans is how many spans a trace has at most: what a query does further on is left out.
const MostSpans = 64

// Trace is what was done for one query. Its first span stands for all of it.
type Trace struct {
	ID    [2]uint64 // the second half alone where an ID has 64 bits
	Spans []Span
}

// Span is one thing that was done.
type Span struct {
	ID, Parent uint64 // Parent is 0 for none
	Name       string
	Kind       Kind
	Begin, End time.Time
	Tags       []Tag
	Error      string // what has failed; "" for nothing
}

// Tag is one tag, or attribute.
type Tag struct{ Key, Value string }

// Kind is what a span is to others.
type Kind uint8

// The kinds of spans.
const (
	Internal Kind = iota
	Server        // of a request from outside
)

// New begins a trace with its first span.
func New(name string, now time.Time) *Trace {
	t := &Trace{ID: [2]uint64{newID(), newID()}, Spans: make([]Span, 1, 8)}
	t.Spans[0] = Span{ID: t.ID[1], Name: name, Kind: Server, Begin: now}
	return t
}

// Begin adds a span below another one; nil where there are enough of them. The pointer holds until the next Begin.
func (t *Trace) Begin(parent uint64, name string, now time.Time) *Span {
	if len(t.Spans) == MostSpans {
		return nil
	}
	t.Spans = append(t.Spans, Span{ID: newID(), Parent: parent, Name: name, Begin: now})
	return &t.Spans[len(t.Spans)-1]
}

// newID is an ID, which is never 0.
func newID() uint64 {
	for {
		if id := rand.Uint64(); id != 0 {
			return id
		}
	}
}
