package resolver

import (
	"fmt"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// newGateways compiles the directives k8s_gateway.
func (b *block) newGateways() error {
	for i := range b.options.Gateways {
		o := &b.options.Gateways[i]
		n, err := newNamed(o.Zones, o.Fallthrough, uint32(o.TTL.Seconds()), FromGateway)
		if err != nil {
			return fmt.Errorf("k8s_gateway: %w", err)
		}
		apex, err := wire.ParseName(o.Apex)
		if err != nil {
			return fmt.Errorf("k8s_gateway: apex: %w", err)
		}
		labels := string(apex[:len(apex)-1])
		for j := range n.infos {
			n.infos[j].external = &external{server: labels, master: labelsMaster + labels}
		}
		n.place, n.unsynced, n.absent, n.partial = new(zones.NamesPlace), func() string { return unsynced(o.Index) }, edeGatewayNoHost, edeGatewayNoHost
		if o.Index != nil { // else it has not been read
			n.place, n.cluster = &o.Index.Hosts, o.Index
		}
		b.gateways = append(b.gateways, n)
	}
	return nil
}

// answerGateway answers q from the first zone of a k8s_gateway that has an answer.
func answerGateway(r *Request, q *question) result { return answerNamed(r, q, q.scope.gateway) }
