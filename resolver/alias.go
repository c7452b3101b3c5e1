package resolver

import "github.com/clusterdns/clusterdns/zones/wire"

// maxLinks is how many aliases are followed for one question.
const maxLinks = 10

// follow answers q with a CNAME record of source to target (absolute, wire form). Unless q asked for the CNAME itself, target
// becomes the next question (RFC 1034 section 3.6.2), and its server block is chosen anew. A loop or a chain that is
// too long ends with the links so far and SERVFAIL.
func (r *Request) follow(q *question, source Source, ttl uint32, target string) result {
	if r.links == maxLinks {
		return r.brokenChain(source)
	}
	at, ok := r.Reply.AddName(q.owner, wire.TypeCNAME, ttl, nil, target)
	if !ok || q.qtype == wire.TypeCNAME || q.qtype == wire.TypeANY {
		return result{outcome: answered, source: source, authoritative: true}
	}
	return r.chase(q, source, target, at)
}

// chase makes target the next question, once a CNAME record of source to it has been written; target is at an offset of
// the reply.
func (r *Request) chase(q *question, source Source, target string, at wire.Offset) result {
	if r.links == maxLinks || r.visitedAlready(target) {
		return r.brokenChain(source)
	}
	r.name.SetString(target)
	return r.lead(q, source, hop{target: target}, at)
}

// hop is an alias that has been followed.
type hop struct {
	target string // "" for the alias that a DNAME record makes: only the number of links ends a circle of these
	dname  string // the owner of the DNAME record
}

// lead makes Request.name the next question, by way of a hop.
func (r *Request) lead(q *question, source Source, by hop, at wire.Offset) result {
	r.visited[r.links] = by
	r.links++
	r.Source = source
	r.Reply.SetFlags(wire.FlagAA) // AA is about the first owner (RFC 1035 section 4.1.1), which is ours
	q.name, q.owner, q.asked, q.options, q.next = &r.name, at, false, "", 0
	return result{outcome: alias}
}

// brokenChain ends a chain of aliases that leads nowhere.
func (r *Request) brokenChain(source Source) result {
	res := failure(source, wire.ServerFailure, wire.Other, edeAliases)
	res.authoritative = true
	return res
}

// visitedAlready reports whether target was a question earlier in this chain.
func (r *Request) visitedAlready(target string) bool {
	for i := range r.visited[:r.links] {
		if r.visited[i].target == target {
			return true
		}
	}
	return string(r.Query.Name()) == target
}
