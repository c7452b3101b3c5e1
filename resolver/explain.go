package resolver

import (
	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// explain attaches, to an authoritative answer without records, why there are none (RFC 8914, info code 0).
func (r *Request) explain(m *zones.Match) {
	reply := &r.Reply
	switch {
	case m.Outcome == zones.Empty || m.Outcome == zones.Found && m.Node.Service() != nil && m.Node.Empty():
		reply.Explain(wire.Other, "the name exists, without records of its own")
	case m.Outcome != zones.Missing:
		reply.Explain(wire.Other, "the name exists, without records of this type")
	case m.Why == zones.NoNames:
		reply.Explain(wire.Other, m.Node.Service().Why())
	case m.Why == zones.PodsOff:
		reply.Explain(wire.Other, "names of pods are disabled (kubernetes option pods)")
	case m.Why == zones.NoAddress:
		reply.Explain(wire.Other, "no service or endpoint has this address")
	case m.Why == zones.NotAName:
		reply.Explain(wire.Other, "not a name the Kubernetes DNS schema defines")
	default:
		r.explainObject(m)
	}
}

// explainObject says which namespace, service or pod is not there.
func (r *Request) explainObject(m *zones.Match) {
	reply := &r.Reply
	if m.Service == nil {
		reply.Explain(wire.Other, "namespace ")
		reply.ExplainName(m.Namespace)
		switch m.Why {
		case zones.NoNamespace:
			reply.ExplainMore(": not found")
		case zones.NotAnAddress:
			reply.ExplainMore(": a pod's name is its address with dashes")
		case zones.NoPod:
			reply.ExplainMore(": no live pod has this address")
		}
		return
	}
	reply.Explain(wire.Other, "service ")
	reply.ExplainName(m.Namespace)
	reply.ExplainMore("/")
	reply.ExplainName(m.Service)
	switch m.Why {
	case zones.NoNamespace:
		reply.ExplainMore(": the namespace does not exist")
	case zones.NoService:
		reply.ExplainMore(": not found")
	case zones.NoEndpoint:
		reply.ExplainMore(": no such endpoint or named port")
	}
}
