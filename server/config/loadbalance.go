package config

import (
	"net/netip"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

// defaultWeightsReload is how often a file of weights is checked for changes, as in CoreDNS.
const defaultWeightsReload = 30 * time.Second

// loadbalance [round_robin] { prefer NETWORK… } | weighted FILE { reload DURATION }
func (b *blockReader) loadbalance(a *args) {
	o := &b.Steps
	o.Rotate, o.Prefer, o.Weights = true, nil, nil
	weighted := false
	if a.more() {
		weighted = choose(a, map[string]bool{"round_robin": false, "weighted": true})
	}
	if a.err != nil {
		return // which options there are depends on the word
	}
	if !weighted {
		a.options(options{
			"prefer": func(p *args) {
				for p.more() {
					o.Prefer = append(o.Prefer, p.subnet())
				}
			},
		})
		return
	}
	o.Rotate, o.Weights = false, &resolver.Weights{File: b.inRoot(a.word("a file of weights")), Reload: defaultWeightsReload}
	a.options(options{
		"reload": func(p *args) { o.Weights.Reload = p.duration(0, forever) },
	})
	a.checkWeights(o.Weights)
}

// checkWeights fails when a line of the file is wrong, or there is no file and it would not be looked for again.
func (a *args) checkWeights(o *resolver.Weights) {
	if a.err != nil {
		return
	}
	content, err := a.read(o.File)
	switch {
	case err != nil && o.Reload == 0:
		a.fail("%q cannot be read: %v", o.File, err)
	case err != nil:
		a.warnf("%q cannot be read yet, and all addresses weigh the same: %v", o.File, err)
	default:
		if err := resolver.CheckWeights(content); err != nil {
			a.fail("%q: %v", o.File, err)
		}
	}
}

// subnet reads a network.
func (a *args) subnet() netip.Prefix {
	const want = "a network such as 10.0.0.0/8"
	w := a.word(want)
	p, err := netip.ParsePrefix(w)
	if err != nil {
		a.fail("got %q, wants %s", w, want)
	}
	return p.Masked()
}

func usesLoadbalance(b *Block) bool { return b.Steps.Rotate || b.Steps.Weights != nil }

func summarizeLoadbalance(b *Block, s *summary) {
	o := &b.Steps
	switch {
	case o.Weights != nil:
		s.note(true, "loadbalance weighted by %s", o.Weights.File)
	case len(o.Prefer) > 0:
		s.note(true, "loadbalance that prefers %v", o.Prefer)
	default:
		s.note(o.Rotate, "loadbalance")
	}
}
