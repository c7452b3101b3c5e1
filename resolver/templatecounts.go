package resolver

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// TemplateCounts are the counters of one zone of a directive template, for coredns_template_* metrics.
type TemplateCounts struct {
	Zone     string
	Matches  []TemplateMatches
	Failures []TemplateFailures
}

// TemplateMatches counts the questions of a class and type that the directive answered.
type TemplateMatches struct {
	Class, Type string
	Count       uint64
}

// TemplateFailures counts how often the text of a record could not be made, or is no record if RR is set.
type TemplateFailures struct {
	Class, Type, Section, Text string
	RR                         bool
	Count                      uint64
}

// templateCounts counts for one zone of a directive. Failures are rare, and have a lock.
type templateCounts struct {
	matches [len(classLabels)][len(TypeLabels)]atomic.Uint64

	mu       sync.Mutex
	failures map[TemplateFailures]uint64 // by all but Count; bounded by texts, classes and types
}

// matched counts a question that the directive answers.
func (c *templateCounts) matched(rule *templateRule, q *question) {
	c.matches[classLabel(rule.class(q))][TypeLabel(rule.qtype(q))].Add(1)
}

// sectionNames are the labels of the sections.
var sectionNames = [...]string{wire.Answer: "answer", wire.Authority: "authority", wire.Additional: "additional"}

// failed counts a text of a section that gave no record for q, or an expression.
func (c *templateCounts) failed(rule *templateRule, q *question, section, text, why string) {
	key := TemplateFailures{
		Class: classLabels[classLabel(rule.class(q))], Type: TypeLabels[TypeLabel(rule.qtype(q))],
		Section: section, RR: why == recordFailed, Text: strings.ToValidUTF8(text, "?"),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures == nil {
		c.failures = map[TemplateFailures]uint64{}
	}
	c.failures[key]++
}

// count is the counters of all zones in which something was counted.
func (t *templates) count() (all []TemplateCounts) {
	for _, rule := range t.list {
		for i := range rule.zone {
			z := &rule.zone[i]
			c := TemplateCounts{Zone: z.name}
			for class := range z.counts.matches {
				for typ := range z.counts.matches[class] {
					if n := z.counts.matches[class][typ].Load(); n > 0 {
						c.Matches = append(c.Matches, TemplateMatches{classLabels[class], TypeLabels[typ], n})
					}
				}
			}
			z.counts.mu.Lock()
			for failure, n := range z.counts.failures {
				failure.Count = n
				c.Failures = append(c.Failures, failure)
			}
			z.counts.mu.Unlock()
			if len(c.Matches)+len(c.Failures) > 0 {
				all = append(all, c)
			}
		}
	}
	return all
}
