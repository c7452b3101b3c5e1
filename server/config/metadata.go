package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
)

// metadata [ZONES…]
func (b *blockReader) metadata(a *args) {
	b.Steps.Metadata = &resolver.Metadata{Zones: a.zonesOr(b.zones...)}
	a.finish()
}

// keepDetails has the clusters of the block keep what metadata tells of pods.
func (b *blockReader) keepDetails() {
	for i := range b.Sources {
		o := &b.Sources[i].Objects
		o.PodDetails = b.Steps.Metadata != nil && o.VerifyPods
	}
}

// keepClients has clusters keep which pod has an address: all of them where a line of a log says it, and those whose pods
// are read where it is shown besides.
func keepClients(all []*blockReader) {
	asked, shown := false, false
	for _, b := range all {
		for _, l := range b.Log {
			asked = asked || strings.Contains(l.Format, logs.PodOfClient)
			shown = shown || l.Format == logs.JSONLog
		}
		shown = shown || len(b.config.Dashboard.Addresses) > 0
	}
	for _, b := range all {
		for i := range b.Sources {
			o := &b.Sources[i].Objects
			o.Clients = asked || shown && o.VerifyPods
		}
		for i := range b.Gateways {
			o := &b.Gateways[i].Objects
			o.Clients = asked || shown && o.VerifyPods
		}
	}
}

// labelInBraces is a placeholder for a label of metadata in rewrite, and labelOfLog one in a format of log.
var (
	labelInBraces = regexp.MustCompile(`\{[^{}/]+/[^{}]+\}`)
	labelOfLog    = regexp.MustCompile(`\{/[^{}]+\}`)
)

// asksMetadata is the name of a directive that refers to metadata, "" if none does.
func (b *blockReader) asksMetadata() string {
	has := func(list []string, text string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, text) })
	}
	s := &b.Steps
	switch {
	case slices.ContainsFunc(b.Log, func(l logs.Log) bool { return labelOfLog.MatchString(l.Format) }):
		return "log"
	case s.View != nil && has(s.View.Expressions, "metadata("):
		return "view"
	case slices.ContainsFunc(s.Rewrites, func(r resolver.Rewrite) bool {
		return r.Metadata || r.EDNS != nil && strings.Contains(r.EDNS.Variable, "/")
	}):
		return "rewrite"
	case slices.ContainsFunc(s.Templates, func(t resolver.Template) bool {
		called := slices.ContainsFunc(t.Vars, func(v resolver.TemplateVar) bool { return strings.Contains(v.Expression, "metadata(") })
		return called || has(t.Conditions, "metadata(") || has(slices.Concat(t.Answer, t.Authority, t.Additional), ".Meta")
	}):
		return "template"
	}
	return ""
}

// warnMetadata warns of labels that have no values, because the block has no metadata.
func (b *blockReader) warnMetadata(r *Report) {
	if name := b.asksMetadata(); name != "" && b.Steps.Metadata == nil {
		r.warn(b.seen[name], "%s: its labels have no values: the block lacks metadata, in a line of its own", name)
	}
}

func usesMetadata(b *Block) bool { return b.Steps.Metadata != nil }

func summarizeMetadata(b *Block, s *summary) {
	if m := b.Steps.Metadata; m != nil {
		s.step("metadata for %s", names(m.Zones))
	}
}
