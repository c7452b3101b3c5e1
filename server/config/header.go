package config

import (
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// header { query|response set|clear FLAGS… }
func (b *blockReader) header(a *args) {
	if a.more() {
		a.warnf("%s has no effect: flags are changed for all names of the block, as in CoreDNS", strings.Join(a.rest(), " "))
	}
	var h resolver.Header
	a.optionsOr(nil, func(o *args) bool {
		switch strings.ToLower(o.name) {
		case "query":
			h.Query = append(h.Query, o.headerChanges()...)
		case "response":
			h.Response = append(h.Response, o.headerChanges()...)
		case "set", "clear":
			o.fail("wants query or response before it, as in response %s", strings.Join(append([]string{o.name}, o.rest()...), " "))
		default:
			return false
		}
		return true
	})
	if a.err == nil && len(h.Query)+len(h.Response) == 0 {
		a.fail("needs a block with lines such as response set ra")
	}
	for _, c := range h.Query {
		if c.Flag != wire.FlagRD {
			a.warnf("query: only rd means something in a query, and %s has no effect", flagName(c.Flag))
		}
	}
	if b.Steps.Header != nil {
		a.warnf("has no effect: the first header of the block counts, as in CoreDNS")
		return
	}
	b.Steps.Header = &h
}

func headerFlags() map[string]uint16 {
	return map[string]uint16{"aa": wire.FlagAA, "ra": wire.FlagRA, "rd": wire.FlagRD}
}

func flagName(flag uint16) string {
	for name, f := range headerFlags() {
		if f == flag {
			return name
		}
	}
	return ""
}

// headerChanges reads set|clear FLAGS….
func (a *args) headerChanges() (all []resolver.HeaderChange) {
	w := strings.ToLower(a.word("set or clear"))
	if w != "set" && w != "clear" {
		a.fail("got %q, wants set or clear%s", w, DidYouMean(w, []string{"set", "clear"}))
	}
	for _, name := range a.atLeastOne("flags: aa, ra or rd") {
		flag, known := headerFlags()[strings.ToLower(name)]
		if !known {
			a.fail("got %q, wants aa, ra or rd", name)
		}
		all = append(all, resolver.HeaderChange{Flag: flag, Set: w == "set"})
	}
	return all
}

func usesHeader(b *Block) bool { return b.Steps.Header != nil }

func summarizeHeader(b *Block, s *summary) {
	h := b.Steps.Header
	if h == nil {
		return
	}
	l := s.step("header")
	for _, side := range []struct {
		name    string
		changes []resolver.HeaderChange
	}{{"query", h.Query}, {"response", h.Response}} {
		for _, c := range side.changes {
			l.add(c.Set, "%s set %s", side.name, flagName(c.Flag))
			l.add(!c.Set, "%s clear %s", side.name, flagName(c.Flag))
		}
	}
}

// minimal
func (b *blockReader) minimal(a *args) {
	a.finish()
	b.Steps.Minimal = true
}

func usesMinimal(b *Block) bool { return b.Steps.Minimal }

func summarizeMinimal(b *Block, s *summary) {
	if b.Steps.Minimal {
		s.step("minimal: positive answers without authority and additional sections")
	}
}
