package config

import (
	"math"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

// The defaults of erratic, as in CoreDNS.
const (
	standardOneOf = 2
	standardDelay = 100 * time.Millisecond
)

// erratic { drop [AMOUNT] truncate [AMOUNT] delay [AMOUNT [DURATION]] large }
func (b *blockReader) erratic(a *args) {
	e := &resolver.Erratic{}
	b.Steps.Erratic = e
	dropped := false
	a.options(options{
		"drop": func(o *args) {
			if dropped = o.more(); dropped {
				e.Drop = o.oneOf()
			}
		},
		"truncate": func(o *args) { e.Truncate = o.oneOf() },
		"delay": func(o *args) {
			e.Delay, e.Duration = o.oneOf(), standardDelay
			if o.more() {
				e.Duration = o.duration(0, forever)
			}
		},
		"large": func(*args) { e.Large = true },
	})
	if !dropped && e.Delay == 0 && e.Truncate == 0 { // also with `drop` alone: its default is for those without others
		e.Drop = standardOneOf
	}
}

// oneOf reads how many questions one is of, 0 for none.
func (a *args) oneOf() uint64 {
	if !a.more() {
		return standardOneOf
	}
	return uint64(a.number(0, math.MaxInt32))
}

func usesErratic(b *Block) bool { return b.Steps.Erratic != nil }

func summarizeErratic(b *Block, s *summary) {
	if e := b.Steps.Erratic; e != nil {
		l := s.step("erratic")
		l.add(e.Drop > 0, "drops one in %d", e.Drop)
		l.add(e.Truncate > 0, "truncates by %d", e.Truncate)
		l.add(e.Delay > 0, "delays one in %d for %v", e.Delay, e.Duration)
		l.add(e.Large, "large")
	}
}
