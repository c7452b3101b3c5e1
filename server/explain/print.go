package explain

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/clusterdns/clusterdns/observe"
)

// Print writes the report for people. It does nothing to their terminals, whoever made the report.
func (r *Report) Print(to io.Writer) {
	out := &strings.Builder{}
	defer func() {
		for line := range strings.Lines(out.String()) {
			fmt.Fprintln(to, observe.Clean(strings.TrimSuffix(line, "\n")))
		}
	}()
	search := "without a search list"
	if len(r.Search) > 0 {
		search = fmt.Sprintf("search %s, ndots %d", strings.Join(r.Search, " "), r.Ndots)
	}
	pod := ""
	switch namespace, name, is := strings.Cut(r.From, "/"); {
	case is:
		pod = " in pod " + namespace + "/" + name
	case r.From != "":
		pod = " in namespace " + r.From
	}
	fmt.Fprintf(out, "%s, as %s asks for it%s (%s), answered by %s:\n\n", r.Name, r.Libc, pod, search, r.Asked)
	if r.Note != "" {
		fmt.Fprintf(out, "%s\n\n", r.Note)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range r.lines() {
		fmt.Fprintln(table, line)
	}
	table.Flush()
	fmt.Fprintf(out, "\n%s\n", r.Sentence)
	if r.Ended != "" {
		fmt.Fprintf(out, "%s\n", r.Ended)
	}
	if r.Fix != "" {
		fmt.Fprintf(out, "%s\n", r.Fix)
	}
}

// lines are the questions, those for one name together where their answers are alike.
func (r *Report) lines() (lines []string) {
	for i := 0; i < len(r.Steps); i++ {
		first, types, decisive := i, r.Steps[i].Type, i == r.Decisive
		for i+1 < len(r.Steps) && r.Steps[i+1].alike(&r.Steps[first]) {
			i++
			types += ", " + r.Steps[i].Type
			decisive = decisive || i == r.Decisive
		}
		mark := " "
		if decisive {
			mark = ">"
		}
		s := &r.Steps[first]
		what := s.Reason
		if s.found || len(s.Records) > 0 {
			what = values(s.Records)
			if s.Reason == outsideReason {
				what += " " + s.Reason
			}
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%s %s\t%s\t%s\t%s", mark, cmp.Or(s.Name, "."), types, s.Answer.String(), what), " \t"))
	}
	return lines
}

// alike reports whether both have the same answer without records, for the same name.
func (s *Step) alike(other *Step) bool {
	return s.Name == other.Name && s.Rcode == other.Rcode && s.Reason == other.Reason && len(s.Records)+len(other.Records) == 0
}

// mostShown is how many records of an answer are shown.
const mostShown = 4

// values are the data of records, and those of aliases with an arrow.
func values(records []string) string {
	var all []string
	for _, record := range records {
		words := strings.SplitN(record, " ", 3)
		switch {
		case len(words) < 3:
			all = append(all, record)
		case words[1] == "CNAME":
			all = append(all, "-> "+words[2])
		default:
			all = append(all, words[2])
		}
	}
	if more := len(all) - mostShown; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:mostShown], " "), more)
	}
	return strings.Join(all, " ")
}
