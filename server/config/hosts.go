package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The defaults of hosts, which are CoreDNS's.
const (
	defaultHostsFile   = "/etc/hosts"
	defaultHostsTTL    = time.Hour
	defaultHostsReload = 5 * time.Second
)

// hosts [FILE [ZONES…]] { [INLINE]; ttl SECONDS; no_reverse; reload DURATION; fallthrough [ZONES…];
// fallthrough_unsupported }
func (b *blockReader) hosts(a *args) {
	h := &resolver.Hosts{File: defaultHostsFile, TTL: defaultHostsTTL, Reload: defaultHostsReload}
	b.Steps.Hosts = h
	if a.more() {
		h.File = b.inRoot(a.word(""))
		if a.absent() {
			h.File = ""
		} else if _, err := a.read(h.File); err != nil {
			a.warnf("%q cannot be read yet: %v", h.File, err)
		}
	}
	h.Zones = a.zonesOr(b.zones...)
	a.warnAfterFallthrough()
	known := options{
		"ttl":                     func(o *args) { h.TTL = o.seconds(1, 65535) },
		"no_reverse":              func(o *args) { h.NoReverse = true; o.skipAbsent() },
		"reload":                  func(o *args) { h.Reload = o.duration(0, forever) },
		"fallthrough":             func(o *args) { h.Fallthrough.Zones = o.zonesOr(".") },
		"fallthrough_unsupported": set(&h.OtherTypes),
	}
	a.optionsOr(known, func(o *args) bool {
		return inlineHosts(o, h) || o.passOver(slices.Collect(maps.Keys(known)))
	})
	if h.OtherTypes && len(h.Fallthrough.Zones) == 0 {
		a.fail("fallthrough_unsupported needs fallthrough")
	}
}

// warnAfterFallthrough warns of lines that CoreDNS reads as options.
func (a *args) warnAfterFallthrough() {
	behind := false
	for _, s := range a.lines {
		if _, err := netip.ParseAddr(s.name); err == nil && behind {
			a.warn(s.at, "hosts: %s stands behind fallthrough, where CoreDNS takes no hosts", s.name)
		}
		behind = behind || s.name == "fallthrough"
	}
}

// passOver takes a line of two words that is no host and like no option, as CoreDNS does.
func (a *args) passOver(known []string) bool {
	if !a.more() || DidYouMean(a.name, known) != "" {
		return false
	}
	behind := slices.ContainsFunc(a.rest(), func(w string) bool { _, err := netip.ParseAddr(w); return err == nil })
	a.warnf("%q is no address, and the line is passed over%s", a.name, when(behind, ": the address stands first"))
	return true
}

// inlineHosts reads a line in the form of /etc/hosts. It takes only lines that begin with an address, so that a
// misspelt option is an error and not the name of a host.
func inlineHosts(a *args, h *resolver.Hosts) bool {
	a.title = "hosts"
	if a.absent() {
		a.rest()
		return true
	}
	if _, err := netip.ParseAddr(a.name); err != nil {
		return false
	}
	if !a.more() {
		a.warnf("%s has no name and is passed over", a.name)
		return true
	}
	var names []string
	for a.more() {
		w := a.word("")
		if a.absent() {
			continue
		}
		if name, err := wire.ParseName(w); err != nil || len(name) == 1 {
			a.fail("%s: %q is not the name of a host", a.name, w)
		}
		names = append(names, w)
	}
	if len(names) > 0 {
		h.Inline = append(h.Inline, a.name+" "+strings.Join(names, " "))
	}
	return true
}

func usesHosts(b *Block) bool { return b.Steps.Hosts != nil }

func summarizeHosts(b *Block, s *summary) {
	h := b.Steps.Hosts
	if h == nil {
		return
	}
	l := s.step("hosts %s for %s", h.File, names(h.Zones))
	l.add(len(h.Inline) > 0, "%d inline", len(h.Inline))
	l.add(true, "ttl %s", seconds(h.TTL))
	l.add(h.Reload != defaultHostsReload, "reload %v", h.Reload)
	l.add(h.NoReverse, "no reverse")
	l.passes(h.Fallthrough)
	l.add(h.OtherTypes, "and so do other types of its names")
}
