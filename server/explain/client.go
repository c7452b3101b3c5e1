package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// What is said of an answer that has records: it is that of one client, or of a name that was not meant.

// ordered says that another client may be told another order, where the name is one of a service with session affinity;
// "" otherwise.
func ordered(q *Question, step *Step) string {
	last, several := step.Records[len(step.Records)-1], 0
	for _, record := range step.Records {
		if owner, _, _ := strings.Cut(record, " "); strings.HasPrefix(last, owner+" ") {
			several++
		}
	}
	o, s := answering(q, step)
	if s == nil || !s.Affine() || several < 2 {
		return ""
	}
	return fmt.Sprintf(" Which record comes first depends on the client: service %s/%s has sessionAffinity: ClientIP (option affinity).",
		o.namespace, o.service)
}

// captured says that a name of the internet may have been meant, and that the search list has led to a service instead,
// because the service or its namespace is called like a top-level domain; "" otherwise. Namespaces are called dev and shop as
// well, and api.dev is what their services are called by: so it says nothing of a name that there is not outside.
func captured(q *Question, found string) string {
	asked, domain := strings.ToLower(q.Name), ".svc."+q.Zone
	label := asked[strings.LastIndexByte(asked, '.')+1:]
	if label == asked || q.Toplevel == nil || !q.Toplevel(label) {
		return "" // a name without dots is none of the internet's
	}
	var who string
	switch found = strings.ToLower(found); found {
	case asked + domain:
		who = "namespace " + label
	case asked + "." + q.namespace() + domain:
		who = "service " + q.namespace() + "/" + label
	default:
		return ""
	}
	if !q.outside() {
		return ""
	}
	return fmt.Sprintf(" The search list has led there, not to %s. itself: %s is called like a top-level domain (option toplevel).", asked, who)
}

// existsOutside reports whether there is a name as it is written, not completed by a search list.
func (q *Question) existsOutside(ctx context.Context) bool {
	return slices.ContainsFunc(q.Types, func(qtype uint16) bool {
		a := q.Ask(ctx, strings.TrimSuffix(q.Name, ".")+".", qtype)
		return a.Rcode == dns.RcodeToString[dns.RcodeSuccess]
	})
}
