package watch

import (
	"fmt"
	"iter"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

// visibilityRule says which namespaces see which: clients of those that from selects see those that to selects.
type visibilityRule struct {
	from labels.Selector // nil for everybody
	to   labels.Selector
	bit  zones.Rules
}

// In object.Selection.Visibility every rule is a line.
const (
	ruleArrow = " -> "
	ruleEnd   = "\n"
)

// OwnVisibility is what object.Selection.Visibility begins with: clients see their own namespaces.
const OwnVisibility = "own" + ruleEnd

// VisibilityRule is a rule of the option visibility as object.Selection.Visibility holds it: a label selector on the
// namespaces of clients, "" for everybody, and one on the namespaces that they see.
func VisibilityRule(from, to string) string { return from + ruleArrow + to + ruleEnd }

// VisibilityRules yields the selectors of the rules.
func VisibilityRules(text string) iter.Seq2[string, string] {
	return func(yield func(from, to string) bool) {
		for line := range strings.Lines(text) {
			from, to, ok := strings.Cut(strings.TrimSuffix(line, ruleEnd), ruleArrow)
			if ok && !yield(from, to) {
				return
			}
		}
	}
}

// CheckVisibility returns what is wrong with rules.
func CheckVisibility(text string) error {
	_, err := parseVisibility(text)
	return err
}

// parseVisibility reads the rules of object.Selection.Visibility. Those for everybody have the same bit.
func parseVisibility(text string) (rules []visibilityRule, err error) {
	next := zones.SharedRule << 1
	for from, to := range VisibilityRules(text) {
		r := visibilityRule{bit: zones.SharedRule}
		if r.to, err = labels.Parse(to); err != nil {
			return nil, err
		}
		if from != "" {
			if next == 0 {
				return nil, fmt.Errorf("visibility has more than %d rules with from", zones.MostRules-1)
			}
			if r.from, err = labels.Parse(from); err != nil {
				return nil, err
			}
			r.bit, next = next, next<<1
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// visibilityOf is by which rules a namespace sees others, and by which others see it; none for one without an object.
func (s *state) visibilityOf(n *object.Namespace) (sees, shown zones.Rules) {
	if n == nil {
		return 0, 0
	}
	set := labels.Set(n.Labels)
	for _, r := range s.visibility {
		if r.from != nil && r.from.Matches(set) {
			sees |= r.bit
		}
		if r.to.Matches(set) {
			shown |= r.bit
		}
	}
	return sees, shown
}
