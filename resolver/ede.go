package resolver

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The texts of Extended DNS Errors (RFC 8914): why there is no answer, for people who read them in dig or in the query
// log. explain has those for names of a cluster, reason those for upstreams that did not answer.
const (
	edeClass            = "only class IN is served"
	edeNoBlock          = "no server block has a zone for this name"
	edeNoView           = "server blocks have a zone for this name, but no view of theirs matches the query"
	edeNoForward        = "no zone here has this name, and the server block does not forward it"
	edeBlocked          = "this client may not ask for this name (directive acl)"
	edeFiltered         = "records of this name are kept from this client (directive acl)"
	edeAliases          = "the chain of aliases is a loop or has more than 10 links"
	edeUnsynced         = "the cluster has not been read yet"
	edeTransferRefused  = "this client may not transfer this zone (directive transfer)"
	edeTransferDatagram = "AXFR needs TCP"
	edeGatewayNoHost    = "no Ingress, route or load balancer has this name"
	edeEtcdUnsynced     = "etcd has not been read yet"
	edeEtcdNoKey        = "etcd has no key for this name"
	edeEtcdPartial      = "etcd has more keys than are kept: this name may exist"
	edeNamesNoData      = "the name exists, without records of this type"
	edeHostsNoName      = "hosts: no entry has this name, and without fallthrough nothing else is asked"
	edeHostsNoData      = "hosts: the name has no records of this type"
	edeRewriteQuestion  = "rewrite: the new name is not a domain name"
	edeRewriteAnswer    = "rewrite: a name in the answer is no domain name any more"
	edeTemplateNoMatch  = "template: no pattern matches this name, and without fallthrough nothing else is asked"
	edeTemplateValue    = "template: an expression has failed"
	edeTemplateFailure  = "template: the Corefile answers SERVFAIL"
	edeTemplateEmpty    = "template: the Corefile answers without records"
	edeTemplateRecord   = "template: the text of a record cannot be made, or is no record"
	edeZoneNoName       = "the zone does not have this name"
	edeZoneNoData       = "the zone has this name, without records of this type"
	edeZoneLongName     = "the name that a DNAME record makes of this one is too long"
	edeLocal            = "local: this name has no such records on any machine"
	edeStale            = "the answer is older than its TTL; upstream is being asked again or does not answer"
	edeMaxConcurrent    = "too many queries are being forwarded (forward option max_concurrent)"
	edeLate             = " does not answer in time"
	edeNotListening     = " refuses to be asked: nothing listens there"
	edeNoRoute          = " cannot be reached: no route"
	edeManyForwarded    = "too many questions wait for upstream"
	edeManyOfClient     = "too many questions of this client wait for upstream"
	edeManyOfDomain     = "too many questions for names below this domain wait for upstream"
	edeCut              = "upstream cuts its reply over UDP, and gives no whole one over TCP"
	edeManyOctets       = "too many long replies are coming from upstream"
	edeSilent           = "nothing comes back from upstream for names below %s: it is asked for few of them until it answers"
	edeUpstreamsDown    = "all upstreams are down by their health checks"
	edeNoAddress        = "no upstream has an address yet: their names are being asked for"
	edeForwardLoop      = "forwarding loop: what is forwarded comes back to this server (see its log)"
	edeLoopProbe        = "forwarding loop: this query was sent by this server itself"
	edeCancelled        = "no answer within the time that the Corefile gives a query (directive cancel)"
	edeNXNAME           = "NXNAME is no type of records (RFC 9824)"
	edeManySigned       = "too many new answers have to be signed (directive dnssec)"
	edeErratic          = "erratic: it has records of types A and AAAA alone"
	edeShutdown         = "shutting down"
	edeCompleted        = "found by the search list of the client's namespace (directive search)"
	edeNotHere          = ": internalTrafficPolicy is Local, and no endpoint is ready on the client's node"
	edeSubnet           = "the EDNS Client Subnet of the query is malformed"
)

// edeNoZone says why a general zone has no records, by the source of it.
var edeNoZone = map[Source]string{
	FromFile:      "file: the zone file has not been read yet (see the log)",
	FromAuto:      "auto: the zone file has not been read yet (see the log)",
	FromSecondary: "secondary: the zone has not been transferred, or has expired (see the log)",
}

// unsynced says that a cluster has not been read, and why, where that is known.
func unsynced(index *zones.Index) string {
	if index != nil {
		if why := index.Trouble(); why != "" {
			return edeUnsynced + ": " + why
		}
	}
	return edeUnsynced
}

// explain says why an authoritative answer has no records (RFC 8914, info code 0).
func (r *Request) explain(m *zones.Match) {
	reply := &r.Reply
	switch {
	case m.Outcome == zones.Found && r.withheld:
		r.explainLocal(m)
	case m.Outcome == zones.Empty || m.Outcome == zones.Found && m.Node.Service() != nil && m.Node.Empty():
		reply.Explain(wire.Other, "the name exists, without records of its own")
	case m.Outcome != zones.Missing:
		reply.Explain(wire.Other, "the name exists, without records of this type")
	case m.Why == zones.NoNames:
		reply.Explain(wire.Other, m.Node.Service().Why())
	case m.Why == zones.PodsOff:
		reply.Explain(wire.Other, "names of pods are disabled (kubernetes option pods)")
	case m.Why == zones.NoExternal:
		reply.Explain(wire.Other, "the service has no address outside the cluster")
	case m.Why == zones.NoAddress:
		reply.Explain(wire.Other, "no service or endpoint has this address")
	case m.Why == zones.NotAName:
		reply.Explain(wire.Other, "not a name the Kubernetes DNS schema defines")
	default:
		r.explainObject(m)
	}
}

// explainObject says which namespace, service or pod does not exist.
func (r *Request) explainObject(m *zones.Match) {
	reply := &r.Reply
	if m.Service == nil {
		reply.Explain(wire.Other, "namespace ")
		reply.ExplainName(m.Namespace)
		switch m.Why {
		case zones.NoNamespace:
			reply.ExplainMore(": not found")
		case zones.RefusedNamespace:
			reply.ExplainMore(": called like a top-level domain, and so not served (kubernetes option toplevel)")
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
	case zones.RefusedNamespace:
		reply.ExplainMore(": its namespace is called like a top-level domain, and so not served (kubernetes option toplevel)")
	case zones.NoService:
		reply.ExplainMore(": not found")
	case zones.NoEndpoint:
		reply.ExplainMore(": no such endpoint or named port")
	case zones.OverBudget:
		reply.ExplainMore(": not all of its namespace is known, which takes more memory than its budget")
	}
}

// cause is how CoreDNS ends its line about a failure that reason has put into these words: the patterns of `consolidate`
// are written for its lines.
func cause(words string) string {
	switch {
	case strings.Contains(words, edeLate):
		return ": i/o timeout"
	case strings.Contains(words, edeNotListening):
		return ": connection refused"
	case strings.Contains(words, edeNoRoute):
		return ": no route to host"
	case words == edeUpstreamsDown || words == edeNoAddress:
		return ": no healthy proxies"
	}
	return ""
}

// reason describes err as an Extended DNS Error. It leaves out our own port.
func (u *upstream) reason(err error) (wire.InfoCode, string) {
	name := u.address.String()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return wire.NoReachableAuthority, name + edeLate
	case errors.Is(err, syscall.ECONNREFUSED):
		return wire.NetworkError, name + edeNotListening
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return wire.NetworkError, name + edeNoRoute
	case errors.Is(err, errMalformed) || errors.Is(err, errHTTP) || errors.Is(err, errSpoofed) || errors.Is(err, errOversized):
		return wire.InvalidData, name + " sent no usable reply"
	case isLocal(err):
		return wire.NetworkError, "this server is out of sockets"
	}
	return wire.NetworkError, "the connection to " + name + " failed"
}
