package resolver

import (
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// OfSearchList reports whether the query that was answered is for a name of a cluster that does not exist, and that most
// likely a search list has made of another name: what stands before <namespace>.svc, svc or the cluster's domain has a
// dot, or is one label where the schema has none. So are most questions of pods with ndots:5.
func (r *Request) OfSearchList() bool {
	if r.Reply.Rcode != wire.NameError || r.Source != FromKubernetes || !r.question.asked || r.links > 0 {
		return false
	}
	m, first := &r.match, r.Query.QName.Label(0)
	switch m.Why {
	case zones.NotAName, zones.NoNamespace:
		return len(first) == 0 || first[0] != '_'
	case zones.NoService: // "web.prod" before dev.svc; a service alone may have been meant
		return &first[0] != &m.Service[1] && first[0] != '_'
	}
	return false
}
