package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

// maxLinks is the most aliases that are followed for one question.
const maxLinks = 10

// follow answers q with a CNAME record to target (absolute, wire form) and, unless the alias itself was asked for, makes target the
// next name to resolve (RFC 1034 section 3.6.2). The target re-enters at the choice of the server block. A loop or a chain that is too
// long ends with the links found so far and SERVFAIL.
func (r *Request) follow(q *question, ttl uint32, target string) result {
	if r.links == maxLinks {
		return r.brokenChain()
	}
	at, ok := r.Reply.AddName(q.owner, wire.TypeCNAME, ttl, nil, target)
	if !ok || q.qtype == wire.TypeCNAME || q.qtype == wire.TypeANY {
		return result{outcome: answered, source: FromKubernetes, authoritative: true}
	}
	if r.visitedAlready(target) {
		return r.brokenChain()
	}
	r.visited[r.links] = target
	r.links++
	r.Source = FromKubernetes
	r.Reply.SetFlags(wire.FlagAA) // the first owner is ours
	r.name.SetString(target)
	q.name, q.owner, q.asked = &r.name, at, false
	return result{outcome: alias}
}

// lost ends a chain of aliases that leads nowhere.
func (r *Request) brokenChain() result {
	res := failure(FromKubernetes, wire.ServerFailure, wire.Other, edeAliases)
	res.authoritative = true
	return res
}

// visitedBefore reports whether target was asked for on the way here.
func (r *Request) visitedAlready(target string) bool {
	for _, name := range r.visited[:r.links] {
		if name == target {
			return true
		}
	}
	return string(r.Query.Name()) == target
}
