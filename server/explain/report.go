package explain

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
)

// Question is what is to be explained.
type Question struct {
	Name  string
	Types []uint16 // A and AAAA, as getaddrinfo asks, unless one is wanted
	Stub  Stub
	From  string       // NAMESPACE or NAMESPACE/POD; "" for no pod
	Zone  string       // the cluster domain, without final dot
	Index *zones.Index // of the cluster, for near misses; nil where it is not known
	Ask   Asker
	Asked string   // who is asked, in words
	Notes []string // on the search list, and on who asks
	Away  bool     // the pod asks other servers than the cluster's

	Toplevel func(label string) bool // reports whether the option toplevel counts a label; nil without it

	NoSlices  bool   // no EndpointSlice is known at all, so that what is missing says nothing
	Elsewhere string // where near misses are told, in a sentence, if Index is nil; "" for nowhere

	services func() map[string][]string // of Index, read once, and only where it is needed
	outside  func() bool                // reports whether there is a name as it is written; asks
}

// namespace is that of the pod.
func (q *Question) namespace() string {
	namespace, _, _ := strings.Cut(q.From, "/")
	return namespace
}

// Report is the explanation. Its JSON is the answer of `explain -o json` and of /explain.
type Report struct {
	Name     string   `json:"name"`
	Libc     Libc     `json:"libc"`
	Search   []string `json:"search"`
	Ndots    int      `json:"ndots"`
	From     string   `json:"from,omitempty"`
	Asked    string   `json:"server"`
	Note     string   `json:"note,omitempty"`
	Steps    []Step   `json:"questions"`
	Resolves bool     `json:"resolves"`
	Decisive int      `json:"decisive"` // the index in Steps of the one that wins, or else of the first that should have
	Sentence string   `json:"sentence"`
	Fix      string   `json:"fix,omitempty"`
	Ended    string   `json:"ended,omitempty"`   // what the stub has left out, and why
	Near     []string `json:"near,omitempty"`    // names that may be meant
	Unready  string   `json:"unready,omitempty"` // why connections fail to a name that resolves
}

// Step is one question.
type Step struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Answer

	// Completed is the name that the server has found by the search list, in the place of the client.
	Completed string `json:"completed,omitempty"`
}

// Explain asks as the stub does, and says what it means.
func Explain(ctx context.Context, q Question) *Report {
	r := &Report{Name: q.Name, Libc: q.Stub.Libc, Search: q.Stub.Search, Ndots: q.Stub.Ndots, From: q.From, Asked: q.Asked,
		Note:     strings.Join(q.Notes, " "),
		Decisive: -1}
	names, bare := q.Stub.Names(q.Name), strings.TrimSuffix(q.Name, ".")+"."
	if address, err := netip.ParseAddr(q.Name); err == nil {
		reverse, _ := dns.ReverseAddr(address.String())
		names, bare, q.Types = []string{reverse}, reverse, []uint16{dns.TypePTR}
	}
	if note := special(q.Name); note != "" {
		r.Note = strings.TrimSpace(r.Note + " " + note)
	}
	q.services = sync.OnceValue(func() map[string][]string { return servicesOf(q.Index) })
	q.outside = func() bool { return q.existsOutside(ctx) }
	asked := 0
	for i := 0; i < len(names) && ctx.Err() == nil; asked++ {
		answers := r.ask(ctx, q, names[i])
		if r.Resolves = q.Stub.found(answers); r.Resolves {
			r.Decisive = len(r.Steps) - len(answers) + slices.IndexFunc(answers, func(a Answer) bool { return a.found })
			break
		}
		i = q.Stub.next(names, i, answers, bare)
	}
	r.conclude(&q)
	r.Ended = q.Stub.ended(q.Name, asked, len(names), r.Resolves)
	return r
}

// ask asks for one name, each type.
func (r *Report) ask(ctx context.Context, q Question, name string) (answers []Answer) {
	for _, qtype := range q.Types {
		a := q.Ask(ctx, name, qtype)
		answers = append(answers, a)
		asked := strings.TrimSuffix(name, ".")
		r.Steps = append(r.Steps, Step{asked, dns.TypeToString[qtype], a, a.completed(asked, q.Zone)})
	}
	return answers
}

// ended says what the stub has not asked for, and why; "" where it has asked for all.
func (s Stub) ended(name string, asked, all int, resolves bool) string {
	left := all - asked
	switch {
	case resolves || strings.HasSuffix(name, "."):
		return ""
	case left > 0 && s.Libc == Musl:
		return fmt.Sprintf("musl goes on after NXDOMAIN alone; names not asked for: %d.", left)
	case left > 0 && s.Libc == Glibc:
		return fmt.Sprintf("glibc ends the list after REFUSED or silence; names not asked for: %d.", left)
	case s.Libc == Musl && len(s.Search) > 0 && s.first(name):
		return fmt.Sprintf("musl takes no domain of the search list for a name with %d dots or more (ndots).", s.Ndots)
	case s.Libc == Musl && len(s.domains()) < len(s.Search):
		return fmt.Sprintf("musl ignores a search list of %d octets or more.", muslLine)
	}
	return ""
}

// special is what is to be said of a name that most programs do not ask for as it is; "" for others.
func special(name string) string {
	switch host := strings.TrimSuffix(strings.ToLower(name), "."); {
	case host == "localhost" || strings.HasSuffix(host, ".localhost"):
		return "Stub resolvers find localhost in /etc/hosts, and ask nobody for it."
	case strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }):
		return "Names of services are ASCII. Of another name programs ask for the form xn--… (IDNA), which is not made here."
	}
	return ""
}
