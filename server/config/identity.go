package config

import (
	"os"
	"slices"
	"strings"

	"github.com/clusterdns/clusterdns/resolver"
)

// The directives that say who the server and the client are, and those that take no options.

// textOctets is the most that one string of a TXT record holds (RFC 1035 section 3.3).
const textOctets = 255

// chaos [VERSION [AUTHORS…]]
func (b *blockReader) chaos(a *args) {
	number, _ := ProgramVersion()
	c := &resolver.Chaos{Version: "clusterdns-" + number, Hostname: hostname(), Authors: []string{"the clusterdns authors"}}
	if a.more() {
		c.Version = a.text()
	}
	if a.more() {
		c.Authors = nil
	}
	for a.more() {
		c.Authors = append(c.Authors, a.text())
	}
	slices.Sort(c.Authors)
	c.Authors = slices.Compact(c.Authors)
	a.finish()
	b.Steps.Chaos = c
}

// text reads a string of a TXT record, and cuts a longer one, as CoreDNS does.
func (a *args) text() string {
	w := a.word("a text")
	if len(w) > textOctets {
		a.warnf("a text of %d octets is cut to %d", len(w), textOctets)
		w = w[:textOctets]
	}
	return w
}

// hostname is the name of the machine or pod.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name[:min(len(name), textOctets)]
}

// nsid [TEXT…]
func (b *blockReader) nsid(a *args) {
	b.Steps.NSID = hostname()
	if a.more() {
		b.Steps.NSID = strings.Join(a.rest(), " ")
	}
	if len(b.Steps.NSID) > textOctets {
		a.fail("a text of %d octets, wants at most %d", len(b.Steps.NSID), textOctets)
	}
	a.finish()
}

// whoami
func (b *blockReader) whoami(a *args) {
	b.Steps.Whoami = true
	a.finish()
}

// any
func (b *blockReader) any(a *args) {
	b.Steps.Any = true
	a.finish()
}

// local { localhost_prefix on|off }
func (b *blockReader) local(a *args) {
	l := &resolver.Local{}
	b.Steps.Local = l
	a.options(options{
		"localhost_prefix": func(o *args) { l.NoPrefix = !choose(o, map[string]bool{"on": true, "off": false}) },
	})
}

func usesChaos(b *Block) bool  { return b.Steps.Chaos != nil }
func usesWhoami(b *Block) bool { return b.Steps.Whoami }
func usesNSID(b *Block) bool   { return b.Steps.NSID != "" }
func usesAny(b *Block) bool    { return b.Steps.Any }
func usesLocal(b *Block) bool  { return b.Steps.Local != nil }

func summarizeChaos(b *Block, s *summary) {
	if c := b.Steps.Chaos; c != nil {
		s.step("chaos %q by %q", c.Version, c.Authors)
	}
}

func summarizeWhoami(b *Block, s *summary) {
	if b.Steps.Whoami {
		s.step("whoami for what is left")
	}
}

func summarizeNSID(b *Block, s *summary) { s.note(b.Steps.NSID != "", "nsid") }

func summarizeAny(b *Block, s *summary) {
	if b.Steps.Any {
		s.step("any")
	}
}

func summarizeLocal(b *Block, s *summary) {
	if l := b.Steps.Local; l != nil {
		s.step("local").add(l.NoPrefix, "localhost_prefix off")
	}
}
