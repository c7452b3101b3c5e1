package logs

import (
	"bytes"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Rules are the compiled `log` rules of one server block. The first whose zone the qname is in decides.
type Rules []rule

// rule is a compiled Log.
type rule struct {
	zone    []byte // wire form
	labels  int    // of zone; 0 for the root, which every name is in
	format  format
	classes Classes
}

// Compile prepares logs for packets. client may be nil: then nobody is named.
func Compile(logs []Log, client Client) Rules {
	var rules Rules
	for _, log := range logs {
		zone, err := wire.ParseName(log.Zone)
		if err != nil {
			continue // config accepts only names
		}
		rules = append(rules, rule{zone, wire.Labels(zone), compile(log.Format, client), log.Classes})
	}
	return rules
}

// format is the format of the line for request, nil when it gets none.
func (r Rules) format(request *resolver.Request, reply []byte) format {
	for i := range r {
		rule := &r[i]
		if !rule.matches(&request.Query) {
			continue
		}
		if rule.classes == AllClasses || rule.classes&classOf(request, reply) != 0 {
			return rule.format
		}
		return nil
	}
	return nil
}

// matches reports whether the qname is at or below the rule's zone. `log .` compares no names.
func (r *rule) matches(q *wire.Query) bool {
	return r.labels == 0 || r.labels <= q.Labels() && bytes.Equal(q.Suffix(q.Labels()-r.labels), r.zone)
}

// classOf is the class of a reply as `log … class` defines it. A NOERROR without answers is a denial when the zone's
// SOA says so (RFC 2308 section 2.2); otherwise it is a referral, or an answer with no records.
func classOf(request *resolver.Request, reply []byte) Classes {
	answers := uint16(1)
	if len(reply) >= wire.HeaderSize {
		answers = uint16(reply[6])<<8 | uint16(reply[7])
	}
	switch {
	case request.Reply.Rcode == wire.NameError && answers == 0:
		return Denial
	case request.Reply.Rcode != wire.NoError:
		return Failure
	case answers == 0 && hasAuthority(reply, wire.TypeSOA):
		return Denial
	}
	return Success
}

// typeOf is the type of a reply, which the label log/type names in CoreDNS's words.
func typeOf(request *resolver.Request, reply []byte) string {
	rcode, q := request.Reply.Rcode, &request.Query
	answered := len(reply) >= wire.HeaderSize && (reply[6] > 0 || reply[7] > 0)
	switch {
	case len(reply) < wire.HeaderSize:
		return "OTHERERROR"
	case q.Opcode() != 0 || q.Type == wire.TypeAXFR || q.Type == wire.TypeIXFR:
		return "META"
	case rcode == wire.NameError && !answered:
		return "NXDOMAIN"
	case rcode == wire.ServerFailure || rcode == wire.NotImp:
		return "SERVERERROR"
	case rcode != wire.NoError:
		return "OTHERERROR"
	case !answered && hasAuthority(reply, wire.TypeSOA):
		return "NODATA"
	case !answered && hasAuthority(reply, wire.TypeNS):
		return "DELEGATION"
	}
	return "NOERROR"
}

// hasAuthority reports whether the authority section of a reply without answers has a record of type t.
func hasAuthority(reply []byte, t wire.Type) bool {
	at, ok := wire.SkipName(reply, wire.HeaderSize)
	if !ok {
		return false
	}
	at += 4 // QTYPE and QCLASS
	var record wire.Record
	for range uint16(reply[8])<<8 | uint16(reply[9]) {
		if at, ok = record.Read(reply, at); !ok {
			return false
		}
		if record.Type == t {
			return true
		}
	}
	return false
}
