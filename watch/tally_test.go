package watch

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// tally is what happened, and what was asked, by what the model said.
type tally struct {
	steps, events, repeated, bookmarks, lists, backups, restarts int
	questions, records, srv, ptr, aliases, denied                int
	setQuestions, setRecords                                     int // those of names of a clusterset
}

func (c *tally) String() string {
	return fmt.Sprintf(
		"%d steps: %d events, %d repeated or stale ones, %d bookmarks, %d lists, %d backups put back, %d restarts from a snapshot; "+
			"%d questions: %d answered with records (SRV %d, PTR %d, CNAME %d), %d denied or failed, the others NODATA; "+
			"%d were about names of a clusterset, %d of these answered with records",
		c.steps,
		c.events,
		c.repeated,
		c.bookmarks,
		c.lists,
		c.backups,
		c.restarts,
		c.questions,
		c.records,
		c.srv,
		c.ptr,
		c.aliases,
		c.denied,
		c.setQuestions,
		c.setRecords,
	)
}

func (c *tally) count(q *query, v *verdict) {
	c.questions++
	switch {
	case v.rcode != dns.RcodeSuccess:
		c.denied++
	case len(v.answer) == 0:
	case strings.Contains(v.answer[0], " CNAME "):
		c.aliases++
	case q.typ == dns.TypeSRV:
		c.srv++
	case q.typ == dns.TypePTR:
		c.ptr++
	}
	if len(v.answer) > 0 {
		c.records++
	}
	if q.zone == setZone {
		c.setQuestions++
		if len(v.answer) > 0 {
			c.setRecords++
		}
	}
}
