package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe/shadow"
)

// Print writes the report for people.
func (r *Report) Print(to io.Writer, o Options) {
	var b strings.Builder
	fmt.Fprintf(&b, "a  %v  the server in place; median %s, 99%% %s\n", o.A, short(r.Latency[0].Median), short(r.Latency[0].P99))
	fmt.Fprintf(&b, "b  %v  clusterdns; median %s, 99%% %s\n\n", o.B, short(r.Latency[1].Median), short(r.Latency[1].P99))
	fmt.Fprintf(&b, "%7d  questions\n%7d  same\n%7d  explained\n%7d  different\n", r.Questions, r.Same, r.Explained, r.Different)
	for i, name := range []string{"a", "b"} {
		if r.Unanswered[i] > 0 {
			fmt.Fprintf(&b, "%7d  without an answer of %s\n", r.Unanswered[i], name)
		}
	}
	for _, k := range r.Kinds {
		fmt.Fprintf(&b, "\n%d %s, %s: %s\n", k.Count, k.Result(), k.Kind, k.Why)
		for _, e := range k.Examples {
			fmt.Fprintf(&b, "  %s\n    a  %s\n    b  %s\n", questionText(e.Question), e.A, e.B)
		}
		if more := k.Count - len(k.Examples); more > 0 && len(k.Examples) > 0 {
			fmt.Fprintf(&b, "  … and %d more\n", more)
		}
	}
	if r.Exchanged {
		b.WriteString("\nWith -a and -b exchanged most differences would be explained: -b is clusterdns.\n")
	}
	io.WriteString(to, b.String())
}

// short is a duration in at most three digits.
func short(d time.Duration) string {
	switch {
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

func questionText(q dns.Question) string {
	text := q.Name + " " + shadow.TypeText(q.Qtype)
	if q.Qclass != dns.ClassINET {
		text += " " + dns.Class(q.Qclass).String()
	}
	return text
}

// The report in JSON. Fields are added, never renamed.
type (
	printed struct {
		A         server        `json:"a"`
		B         server        `json:"b"`
		Questions int           `json:"questions"`
		Same      int           `json:"same"`
		Explained int           `json:"explained"`
		Different int           `json:"different"`
		Kinds     []printedKind `json:"kinds"`
	}
	server struct {
		Address    string  `json:"address"`
		Unanswered int     `json:"unanswered"`
		Median     float64 `json:"medianSeconds"`
		P99        float64 `json:"p99Seconds"`
	}
	printedKind struct {
		Kind     string           `json:"kind"`
		Result   string           `json:"result"` // explained or different
		Why      string           `json:"why"`
		Count    int              `json:"count"`
		Examples []printedExample `json:"examples"`
	}
	printedExample struct {
		Name  string `json:"name"`
		Type  string `json:"type"`
		Class string `json:"class"`
		A     string `json:"a"`
		B     string `json:"b"`
	}
)

// PrintJSON writes the report as one JSON object.
func (r *Report) PrintJSON(to io.Writer, o Options) error {
	out := printed{Questions: r.Questions, Same: r.Same, Explained: r.Explained, Different: r.Different, Kinds: []printedKind{}}
	for i, s := range []*server{&out.A, &out.B} {
		*s = server{Unanswered: r.Unanswered[i], Median: r.Latency[i].Median.Seconds(), P99: r.Latency[i].P99.Seconds()}
	}
	out.A.Address, out.B.Address = o.A.String(), o.B.String()
	for _, k := range r.Kinds {
		kind := printedKind{k.Kind, k.Result(), k.Why, k.Count, []printedExample{}}
		for _, e := range k.Examples {
			kind.Examples = append(kind.Examples, printedExample{e.Name, shadow.TypeText(e.Qtype), dns.Class(e.Qclass).String(), e.A, e.B})
		}
		out.Kinds = append(out.Kinds, kind)
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}
