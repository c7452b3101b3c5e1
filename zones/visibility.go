package zones

import "github.com/clusterdns/clusterdns/zones/wire"

// Rules is a set of rules of the option visibility, by which clients see namespaces besides their own. A rule says which
// namespaces see which. The first one says which everybody sees, those of no known namespace included.
//
// So what one namespace sees takes two sets, however many namespaces there are, and a query tests whether they meet.
type Rules uint64

// SharedRule is the rule that holds for everybody; MostRules is how many there may be with it.
const (
	SharedRule Rules = 1
	MostRules  int   = 64
)

// Visible reports whether a client sees what is in a namespace. Both are labels in wire form; the client's is "" where it
// is not known. Before the Namespace objects are known nobody sees more than his own. It allocates nothing; m is scratch.
func (s *Snapshot) Visible(m *Match, client string, namespace []byte) bool {
	if client == string(namespace) {
		return true
	}
	n := s.namespaces.get(namespace)
	if n == nil || n.shown == 0 {
		return false
	}
	sees := SharedRule
	if client != "" {
		if c := s.namespaces.get(m.scratch[:copy(m.scratch[:], client)]); c != nil {
			sees |= c.sees
		}
	}
	return n.shown&sees != 0
}

// VisiblePTR is Visible for the namespace of a PTR record's service.
func (s *Snapshot) VisiblePTR(m *Match, client string, p *PTRs) bool {
	return s.Visible(m, client, m.scratch[:copy(m.scratch[:], p.Namespace())])
}

// HasNamespace reports whether a namespace called name has names, whoever sees them.
func (s *Snapshot) HasNamespace(name string) bool {
	label, err := wire.ParseName(name)
	return err == nil && s.namespaces.get(label[:len(label)-1]).exists()
}

// SetVisibility says by which rules the namespace called name sees others, and by which others see it. It is no record:
// the serial stays.
func (tx *Tx) SetVisibility(name string, sees, shown Rules) {
	label, err := wire.ParseName(name)
	if err != nil {
		return
	}
	old := tx.snap.namespaces.get(label[:len(label)-1])
	if old == nil || old.sees == sees && old.shown == shown {
		return
	}
	entry := *old
	entry.sees, entry.shown = sees, shown
	tx.snap.namespaces = tx.snap.namespaces.put(&entry, tx.edit)
	tx.silent = true
}
