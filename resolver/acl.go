package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// acls decides which clients may ask what (directive acl), for one server block.
type acls struct {
	lists   []*acl         // in the order of the file
	allowed *atomic.Uint64 // questions that no rule has kept from a client
}

// acl is one directive.
type acl struct {
	zones zones.Set
	names []string // by index in zones
	rules []ACLRule
	zone  []aclZone // by index in zones
}

// aclZone counts decisions for one zone of a directive, by ACLAction.
type aclZone [ACLDrop + 1]atomic.Uint64

// aclRules are the rules of one directive for the names of a scope.
type aclRules struct {
	rules  []ACLRule
	counts *aclZone
}

func newACL(o *ACL) (*acl, error) {
	set, err := zones.NewSet(o.Zones)
	if err != nil {
		return nil, fmt.Errorf("acl: %w", err)
	}
	return &acl{zones: set, names: o.Zones, rules: o.Rules, zone: make([]aclZone, len(o.Zones))}, nil
}

// rules are those for names in zone, in the order of the file.
func (a *acls) rules(zone *wire.QName) (all []*aclRules) {
	for _, list := range a.lists {
		if at, _, ok := list.zones.Match(zone); ok {
			all = append(all, &aclRules{list.rules, &list.zone[at]})
		}
	}
	return all
}

// check applies the first rule that matches q.
func (a *acls) check(r *Request, q *question) result {
	client := r.Client.Addr().Unmap().WithZone("")
	for _, list := range q.scope.acls {
		for i := range list.rules {
			rule := &list.rules[i]
			if !rule.matches(client, q.qtype) {
				continue
			}
			if rule.Action != ACLAllow {
				list.counts[rule.Action].Add(1)
				return aclResults[rule.Action]
			}
			a.allowed.Add(1)
			return result{}
		}
	}
	a.allowed.Add(1)
	return result{}
}

// matches reports whether the rule is for questions of type t from client.
func (rule *ACLRule) matches(client netip.Addr, t wire.Type) bool {
	if len(rule.Types) > 0 && !slices.Contains(rule.Types, uint16(t)) {
		return false
	}
	return len(rule.Networks) == 0 ||
		slices.ContainsFunc(rule.Networks, func(n netip.Prefix) bool { return n.Contains(client) })
}

// aclResults are the results of rules that do not allow a question (RFC 8914 sections 4.16 and 4.18).
var aclResults = [...]result{
	ACLBlock:  failure(FromACL, wire.Refused, wire.Blocked, edeBlocked),
	ACLFilter: failure(FromACL, wire.NoError, wire.Filtered, edeFiltered),
	ACLDrop:   {outcome: drop, source: FromACL},
}
