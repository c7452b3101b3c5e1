package page

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/observe/traffic"
)

// writeTimeout is how long a reader of a stream may take for a line; beat is how often there is one.
const (
	writeTimeout = 5 * time.Second
	beat         = 2 * time.Second
)

// Line is a line of /api/tail: a query, or only a number of queries that are left out because they were read too slowly.
type Line struct {
	Time    *time.Time `json:"time,omitempty"`
	Client  string     `json:"client,omitempty"`
	Who     string     `json:"who,omitempty"` // the client's pod, or a service that it is an endpoint of
	Proto   string     `json:"proto,omitempty"`
	Name    string     `json:"name,omitempty"`
	Type    string     `json:"type,omitempty"`
	Rcode   string     `json:"rcode,omitempty"`
	Source  string     `json:"source,omitempty"` // the directive that answered
	Reason  string     `json:"reason,omitempty"`
	Took    float64    `json:"took,omitempty"`   // seconds
	Sample  uint32     `json:"sample,omitempty"` // how many queries the line stands for
	Omitted uint64     `json:"omitted,omitempty"`
}

// tail writes queries as they come, a JSON object a line, until the reader leaves.
func (p *page) tail(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "client", "name", "rcode")
	filter := traffic.Filter{Suffix: q.domain("name"), Rcode: q.rcode("rcode")}
	var who string
	filter.Client, who = q.client("client")
	if q.err != nil {
		respond(w, r, func(*http.Request) (any, error) { return nil, q.err })
		return
	}
	if w.Header().Set("Content-Type", "application/x-ndjson"); r.Method == http.MethodHead {
		return // a stream that nobody gets would have no end
	}
	tail := p.Traffic.Follow(filter)
	if tail == nil {
		http.Error(w, "Too many others follow the queries.", http.StatusServiceUnavailable)
		return
	}
	defer p.Traffic.Leave(tail)
	out := http.NewResponseController(w)
	lines := json.NewEncoder(w)
	beats := time.NewTicker(beat)
	defer beats.Stop()
	for first := true; ; first = false {
		out.SetWriteDeadline(time.Now().Add(writeTimeout))
		if first || len(tail.C) == 0 {
			if out.Flush() != nil {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case s, more := <-tail.C:
			if !more {
				return
			}
			if l := p.line(&s); strings.Contains(l.Who, who) && lines.Encode(l) != nil {
				return
			}
		case <-beats.C:
			if lines.Encode(Line{Omitted: p.Traffic.Omitted(tail)}) != nil {
				return
			}
		}
	}
}

func (p *page) line(s *traffic.Sample) Line {
	client := s.Client.Addr()
	l := Line{Time: &s.At, Client: client.String(), Who: p.Who(client), Proto: "udp", Name: nameOf(s.Name()), Type: typeOf(s.Type),
		Rcode: rcodeOf(s.Rcode), Source: p.Source(s.Source), Reason: string(s.Reason()), Took: secondsOf(s.Took),
		Sample: s.Weight}
	if s.TCP {
		l.Proto = "tcp"
	}
	return l
}
