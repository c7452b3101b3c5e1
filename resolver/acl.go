package resolver

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// acls says which clients may ask what (directive acl), for the questions of one block.
type acls struct {
	lists   []acl
	allowed atomic.Uint64
}

// acl is one directive.
type acl struct {
	zones zones.Set
	names []string // of zones, by index
	rules []ACLRule
	zone  []aclZone
}

// aclZone counts for one zone of a directive, by ACLAction.
type aclZone [ACLDrop + 1]atomic.Uint64

// aclView is a directive as it is responsible for the names of one scope.
type aclRules struct {
	rules  []ACLRule
	counts *aclZone
}

func newACLs(options []ACL) (*acls, error) {
	a := &acls{}
	for _, o := range options {
		list := acl{names: o.Zones, rules: o.Rules, zone: make([]aclZone, len(o.Zones))}
		var err error
		if list.zones, err = zones.NewSet(o.Zones); err != nil {
			return nil, fmt.Errorf("acl: %w", err)
		}
		a.lists = append(a.lists, list)
	}
	return a, nil
}

// views are the directives for names in zone, in the order of the file.
func (a *acls) rules(zone *wire.QName) (all []*aclRules) {
	for i := range a.lists {
		list := &a.lists[i]
		if at, _, ok := list.zones.Match(zone); ok {
			all = append(all, &aclRules{list.rules, &list.zone[at]})
		}
	}
	return all
}

// check decides on q: the first rule that matches does.
func (a *acls) check(r *Request, q *question) result {
	client := r.Client.Addr().Unmap().WithZone("")
	for _, v := range q.scope.acls {
		for i := range v.rules {
			rule := &v.rules[i]
			if !rule.matches(client, q.qtype) {
				continue
			}
			if rule.Action != ACLAllow {
				v.counts[rule.Action].Add(1)
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
	return len(rule.Networks) == 0 || slices.ContainsFunc(rule.Networks, func(n netip.Prefix) bool { return n.Contains(client) })
}

// aclResults are what becomes of questions that a rule keeps from the next step, RFC 8914 sections 4.16 and 4.18.
var aclResults = [...]result{
	ACLBlock:  failure(FromACL, wire.Refused, wire.Blocked, edeBlocked),
	ACLFilter: failure(FromACL, wire.NoError, wire.Filtered, edeFiltered),
	ACLDrop:   {outcome: drop, source: FromACL},
}
