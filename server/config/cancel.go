package config

import "time"

// standardCancel is just more than what clients wait for an answer, as in CoreDNS.
const standardCancel = 5001 * time.Millisecond

// cancel [TIMEOUT]
func (b *blockReader) cancel(a *args) {
	b.Steps.Cancel = standardCancel
	if a.more() {
		b.Steps.Cancel = a.duration(positive, forever)
	}
	a.finish()
}

func usesCancel(b *Block) bool { return b.Steps.Cancel > 0 }

func summarizeCancel(b *Block, s *summary) {
	s.note(b.Steps.Cancel > 0, "cancel after %v", b.Steps.Cancel)
}
