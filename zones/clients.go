package zones

import (
	"net/netip"
)

// Who asks: the pod that has an address. Slices name pods, but not whether a pod is on the network of its node, whose
// address is that of all else that runs there. So an address has a name only while one pod alone claims it and no node
// does, and none before all slices and nodes have been read.

// Claim is that a slice gives an address to a pod, or that a node has it.
type Claim struct {
	Addr netip.Addr
	Pod  string // NAMESPACE/NAME; "" for a node
}

// clientAddress is an address with those that claim it.
type clientAddress struct {
	addr [16]byte
	claimant
}

// claimant is one pod, or all nodes, with the next that claims the same address. One alone is the rule: that takes no
// list.
type claimant struct {
	pod   string
	count uint32 // endpoints, or nodes
	next  *claimant
}

func (c *clientAddress) is(addr []byte) bool            { return string(c.addr[:]) == string(addr) }
func (c *clientAddress) same(other *clientAddress) bool { return c.addr == other.addr }
func (c *clientAddress) sum() uint64                    { return hash(c.addr[:]) }

// Client is the pod that has addr, as NAMESPACE/NAME: the one that PodAt means where pods are read, else the one that
// slices name. It is "" where nobody is sure. m is scratch.
func (s *Snapshot) Client(m *Match, addr netip.Addr) string {
	if label, pod := s.PodAt(m, addr); pod != nil {
		return label[1:] + "/" + pod.Name
	}
	if !s.Synced(Slices | Nodes) {
		return ""
	}
	ip := addr.As16()
	c := s.clients.get(m.scratch[:copy(m.scratch[:], ip[:])])
	if c == nil || c.next != nil {
		return ""
	}
	return c.pod
}

// Clients is how many addresses somebody claims.
func (s *Snapshot) Clients() int { return s.clients.size }

// Claim makes so many claims more, or fewer. They are not records: the serial stays.
func (tx *Tx) Claim(c Claim, more int) {
	ip := c.Addr.As16()
	var first *claimant
	if old := tx.snap.clients.get(ip[:]); old != nil {
		first = &old.claimant
	}
	tx.silent = true
	if first = first.with(c.Pod, more); first == nil {
		tx.snap.clients = tx.snap.clients.drop(ip[:], tx.edit)
		return
	}
	tx.snap.clients = tx.snap.clients.put(&clientAddress{ip, *first}, tx.edit)
}

// with is the list with more claims of a pod: those of the snapshot stay as they are.
func (c *claimant) with(pod string, more int) *claimant {
	switch {
	case c == nil && more <= 0:
		return nil
	case c == nil:
		return &claimant{pod: pod, count: uint32(more)}
	case c.pod != pod:
		return &claimant{c.pod, c.count, c.next.with(pod, more)}
	case int(c.count)+more <= 0:
		return c.next
	}
	return &claimant{pod, uint32(int(c.count) + more), c.next}
}
