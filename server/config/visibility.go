package config

import (
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/watch"
)

// visibility own
// visibility labels SELECTOR
// visibility from SELECTOR to SELECTOR
// visibility nodes|unknown all|shared
func (c *kubernetesOptions) visibility(a *args) {
	if c.Visibility == nil {
		c.Visibility = &resolver.Visibility{Nodes: resolver.SeesAll}
	}
	switch word := a.word("own, labels, from, nodes or unknown"); word {
	case "own":
	case "labels":
		c.rules += watch.VisibilityRule("", selector(a))
	case "from":
		c.rules += fromTo(a)
	case "nodes":
		c.Visibility.Nodes = choose(a, sights())
	case "unknown":
		c.Visibility.Unknown = choose(a, sights())
	default:
		a.fail("%q is not one of own, labels, from, nodes and unknown", word)
	}
	if err := watch.CheckVisibility(c.rules); err != nil {
		a.fail("%v", err)
	}
}

func sights() map[string]resolver.Sight {
	return map[string]resolver.Sight{"all": resolver.SeesAll, "shared": resolver.SeesShared}
}

// fromTo reads SELECTOR to SELECTOR.
func fromTo(a *args) string {
	const want = "label selectors such as: from team=web to team in (web, shared)"
	words := a.atLeastOne(want)
	at := slices.Index(words, "to")
	if at <= 0 || at == len(words)-1 {
		a.fail("wants " + want)
		return ""
	}
	from, to := strings.Join(words[:at], " "), strings.Join(words[at+1:], " ")
	for _, text := range []string{from, to} {
		if err := watch.CheckSelector(text); err != nil {
			a.fail("%q: %v", text, err)
		}
	}
	return watch.VisibilityRule(from, to)
}

// sight is what clients see, in words.
func sight(v *resolver.Visibility, rules string) string {
	if v == nil {
		return ""
	}
	text := "their own namespace"
	for from, to := range watch.VisibilityRules(rules) {
		text += ", " + to + when(from != "", " from %s", from)
	}
	return text + when(v.Nodes == resolver.SeesAll, ", nodes all") + when(v.Unknown == resolver.SeesAll, ", others all")
}
