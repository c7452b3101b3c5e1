package explain

import (
	"context"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
)

// Question is what is to be explained.
type Question struct {
	Name  string
	Types []uint16 // A and AAAA, as getaddrinfo asks, unless one is wanted
	Stub  Stub
	From  string       // the namespace of the pod; "" for no pod
	Zone  string       // the cluster domain, without final dot
	Index *zones.Index // of the cluster, for near misses; nil where it is not known
	Ask   Asker
	Asked string // who is asked, in words
}

// Report is the explanation. Its JSON is the answer of `explain -o json` and of /explain.
type Report struct {
	Name     string   `json:"name"`
	Libc     Libc     `json:"libc"`
	Search   []string `json:"search"`
	Ndots    int      `json:"ndots"`
	From     string   `json:"from,omitempty"`
	Asked    string   `json:"server"`
	Steps    []Step   `json:"questions"`
	Resolves bool     `json:"resolves"`
	Decisive int      `json:"decisive"` // the index in Steps of the one that wins, or else of the first that should have
	Sentence string   `json:"sentence"`
	Fix      string   `json:"fix,omitempty"`
	Near     []string `json:"near,omitempty"` // names that may be meant
}

// Step is one question.
type Step struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Answer
}

// Explain asks as the stub does, and says what it means.
func Explain(ctx context.Context, q Question) *Report {
	r := &Report{Name: q.Name, Libc: q.Stub.Libc, Search: q.Stub.Search, Ndots: q.Stub.Ndots, From: q.From, Asked: q.Asked, Decisive: -1}
	names := q.Stub.Names(q.Name)
	if address, err := netip.ParseAddr(q.Name); err == nil {
		reverse, _ := dns.ReverseAddr(address.String())
		names, q.Types = []string{reverse}, []uint16{dns.TypePTR}
	}
	for _, name := range names {
		if r.ask(ctx, q, name) || ctx.Err() != nil {
			break
		}
	}
	r.conclude(&q)
	return r
}

// ask asks for one name, each type, and reports whether the search is over.
func (r *Report) ask(ctx context.Context, q Question, name string) (over bool) {
	var rcodes []string
	for _, qtype := range q.Types {
		a := q.Ask(ctx, name, qtype)
		if a.found && !r.Resolves {
			r.Resolves, r.Decisive = true, len(r.Steps)
		}
		rcodes = append(rcodes, a.String())
		r.Steps = append(r.Steps, Step{strings.TrimSuffix(name, "."), dns.TypeToString[qtype], a})
	}
	return r.Resolves || q.Stub.endsAt(rcodes)
}
