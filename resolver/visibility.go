package resolver

import (
	"net/netip"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones"
)

// Visibility is which namespaces clients see beside their own (option visibility of kubernetes). The rules are in the
// index. Names in other namespaces are to a client as if there were no such namespace.
type Visibility struct {
	Nodes   Sight // of processes and pods on the network of a node, which has its address
	Unknown Sight // of addresses of which nothing is known
}

// Sight is what a client sees who is in no known namespace.
type Sight uint8

// The sights.
const (
	SeesShared Sight = iota // what everybody sees
	SeesAll
)

// visibility decides by who asks, which the index of the cluster knows, also for names of a clusterset. Pods and nodes
// alone say it: slices may be written by tenants, and EDNS Client Subnet (RFC 7871) by the client.
type visibility struct {
	Visibility
	index  *zones.Index
	hidden atomic.Uint64 // questions for names that others see
}

// seer is the client of a query.
type seer struct {
	snapshot *zones.Snapshot
	label    string // of its namespace
	all      bool
	passed   bool // a record that it does not see
}

// seer is the client of r, who sees all without the option. snapshot is what its question was looked up in.
func (z *servedZone) seer(r *Request, snapshot *zones.Snapshot) seer {
	v := z.visibility
	if v == nil {
		return seer{all: true}
	}
	if v.index != z.info.index {
		snapshot = v.index.Snapshot()
	}
	client := r.Client.Addr().Unmap()
	label := snapshot.PodNamespace(&r.match, client)
	return seer{snapshot: snapshot, label: label, all: label == "" && v.sight(r, snapshot, client) == SeesAll}
}

// sight is what a client sees whose namespace is not known.
func (v *visibility) sight(r *Request, snapshot *zones.Snapshot, client netip.Addr) Sight {
	if snapshot.Who(&r.match, client).AtNode {
		return v.Nodes
	}
	return v.Unknown
}

// hide makes a name in a namespace that the client does not see what it is where there is no such namespace. It decides
// before it looks at what was found, so that both take the same time.
func (z *servedZone) hide(r *Request, m *zones.Match, snapshot *zones.Snapshot) {
	if z.visibility == nil || len(m.Namespace) == 0 {
		return
	}
	if s := z.seer(r, snapshot); s.all || s.snapshot.Visible(m, s.label, m.Namespace) {
		return
	}
	if m.Outcome != zones.Missing {
		z.visibility.hidden.Add(1)
	}
	m.Outcome, m.Why, m.Node = zones.Missing, zones.NoNamespace, zones.Node{}
}

// next goes to the next record that the client sees. It reports false when there is none.
func (s *seer) next(r *Request, ptr *zones.PTRs) bool {
	for ptr.Next() {
		if s.all || s.snapshot.VisiblePTR(&r.match, s.label, ptr) {
			return true
		}
		s.passed = true
	}
	return false
}
