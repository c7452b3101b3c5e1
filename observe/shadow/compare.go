package shadow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
)

// Reply is what is compared of a reply: its rcode, and the records of its answer section without their order. Authority
// and additional section are not compared.
type Reply struct {
	Rcode  int
	Cut    bool // TC: there are more records
	Own    bool // AA: of a zone of the server
	Reason string

	records []record // sorted, each once
}

// record is one of the answer section. Names in it are in lower case.
type record struct {
	owner, data string // data begins with the type
	typ         uint16
	ttl         uint32
}

// Read is what is compared of m.
func Read(m *dns.Msg) Reply {
	r := Reply{Rcode: m.Rcode, Cut: m.Truncated, Own: m.Authoritative}
	for _, rr := range m.Answer {
		if rr.Header().Rrtype != dns.TypeRRSIG { // made anew now and then
			r.records = append(r.records, newRecord(rr))
		}
	}
	slices.SortFunc(r.records, func(a, b record) int {
		return strings.Compare(a.owner+" "+a.data, b.owner+" "+b.data)
	})
	r.records = slices.CompactFunc(r.records, record.same)
	if opt := m.IsEdns0(); opt != nil {
		for _, option := range opt.Option {
			if reason, is := option.(*dns.EDNS0_EDE); is {
				r.Reason = observe.Clean(reason.ExtraText)
			}
		}
	}
	return r
}

func newRecord(rr dns.RR) record {
	h := rr.Header()
	data := observe.Clean(strings.TrimPrefix(rr.String(), h.String())) // an OPT among the answers has lines
	switch h.Rrtype {
	case dns.TypeCNAME, dns.TypeDNAME, dns.TypeNS, dns.TypePTR, dns.TypeMX, dns.TypeSRV, dns.TypeSOA:
		data = strings.ToLower(data)
	}
	return record{strings.ToLower(h.Name), dns.TypeToString[h.Rrtype] + " " + data, h.Rrtype, h.Ttl}
}

func (a record) same(b record) bool { return a.owner == b.owner && a.data == b.data }

// mostText is the octets of the text of a reply, about.
const mostText = 200

// String is the rcode and the records, as far as they fit into a line.
func (r Reply) String() string {
	var b strings.Builder
	b.WriteString(RcodeText(r.Rcode))
	for i, rec := range r.records {
		if b.Len() > mostText {
			fmt.Fprintf(&b, " … (%d records)", len(r.records))
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + rec.data)
	}
	if len(r.records) == 0 && r.Rcode == dns.RcodeSuccess {
		b.WriteString(" without records")
	}
	if r.Cut {
		b.WriteString(" (cut)")
	}
	if r.Reason != "" {
		b.WriteString(" (" + r.Reason + ")")
	}
	return b.String()
}

// RcodeText is the name of an rcode.
func RcodeText(rcode int) string {
	if text := dns.RcodeToString[rcode]; text != "" {
		return text
	}
	return fmt.Sprintf("RCODE%d", rcode)
}

// TypeText is the name of a type.
func TypeText(t uint16) string { return dns.Type(t).String() }

// Verdict is what a comparison has found. The zero Verdict says that both replies are the same.
type Verdict struct {
	Kind      string // of difference; "" for none
	Explained bool   // it is meant
	Why       string // in a sentence
}

// Result is the kind of a Verdict in three words.
func (v Verdict) Result() string {
	switch {
	case v.Kind == "":
		return Same
	case v.Explained:
		return Explained
	}
	return Different
}

// The results.
const (
	Same       = "same"
	Explained  = "explained"
	Different  = "different"
	Unanswered = "unanswered" // the second server sends nothing in time
	Dropped    = "dropped"    // it was not asked: the queue was full, or it is away
)

// The kinds of differences that nothing explains.
var (
	otherRcode   = Verdict{Kind: "rcode", Why: "the rcodes are not the same"}
	otherRecords = Verdict{Kind: "records", Why: "the answers have not the same records"}
	otherTTL     = Verdict{Kind: "ttl", Why: "clusterdns gives less time than the other server: a ttl of the Corefile differs"}
)

// pair is both replies to one question.
type pair struct {
	dns.Question
	name         string   // in lower case
	labels       []string // of name
	ours, theirs Reply
}

// Compare compares the reply of clusterdns with that of CoreDNS.
func Compare(q dns.Question, ours, theirs Reply) Verdict {
	name := strings.ToLower(q.Name)
	p := &pair{q, name, dns.SplitDomainName(name), ours, theirs}
	if ours.Rcode == theirs.Rcode && slices.EqualFunc(ours.records, theirs.records, record.same) {
		if ours.Own && theirs.longest()-ours.longest() > ttlTolerance {
			return otherTTL
		}
		return Verdict{}
	}
	for _, k := range kinds {
		if k.explains(p) {
			return Verdict{k.name, true, k.why}
		}
	}
	if ours.Rcode != theirs.Rcode {
		return otherRcode
	}
	return otherRecords
}

// ttlTolerance is how many seconds the TTL of one's own data may be above that of clusterdns. It may be below it by any
// number: CoreDNS's cache counts down.
const ttlTolerance = 1

// longest is the largest TTL, in seconds.
func (r *Reply) longest() (ttl int64) {
	for _, rec := range r.records {
		ttl = max(ttl, int64(rec.ttl))
	}
	return ttl
}

// empty reports NOERROR without records.
func (r *Reply) empty() bool { return r.Rcode == dns.RcodeSuccess && len(r.records) == 0 }

// count is how many records are of the type.
func (r *Reply) count(t uint16) (n int) {
	for _, rec := range r.records {
		if rec.typ == t {
			n++
		}
	}
	return n
}

// within reports whether all records of r are in other.
func (r *Reply) within(other *Reply) bool {
	for _, rec := range r.records {
		if !slices.ContainsFunc(other.records, rec.same) {
			return false
		}
	}
	return true
}
