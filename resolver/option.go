package resolver

import (
	"encoding/binary"
	"net/netip"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// optionSubnet is the code of the option client subnet, RFC 7871 section 6.
const optionSubnet = 8

// apply does to the options that go upstream with q what the rule says, and reports whether it matched. The client's own
// options do not go upstream; one of them is replaced by a rule, not kept beside it.
func (o *RewriteEDNS) apply(rw *rewrites, r *Request, q *question) (applied bool) {
	there := hasOption(q.options, o.Code) || hasOption(string(r.Query.Options), o.Code)
	switch {
	case o.Action == EDNSUnset:
		q.options = withoutOption(q.options, o.Code)
		return true
	case o.Action == EDNSReplace && !there:
		return false
	case o.Action == EDNSAppend && there && (o.Variable != "" || o.Code == optionSubnet): // as in CoreDNS
		return false
	}
	value, ok := o.value(rw, r, q)
	if !ok {
		return false
	}
	options := q.options
	if o.Action != EDNSAppend {
		options = withoutOption(options, o.Code)
	}
	buf := binary.BigEndian.AppendUint16([]byte(options), o.Code)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(value)))
	q.options = string(append(buf, value...))
	return true
}

// value is the data of the option.
func (o *RewriteEDNS) value(rw *rewrites, r *Request, q *question) (value []byte, ok bool) {
	switch o.Variable {
	case "":
		if o.Code == optionSubnet && o.Value == nil {
			return subnet(r.Client.Addr(), o.Subnet), true
		}
		return o.Value, true
	case "qname":
		return r.text, true
	case "qtype":
		return binary.BigEndian.AppendUint16(nil, uint16(q.qtype)), true
	case "client_ip":
		return r.Client.Addr().Unmap().WithZone("").AsSlice(), true
	case "client_port":
		return binary.BigEndian.AppendUint16(nil, r.Client.Port()), true
	case "protocol":
		return []byte(r.Proto.String()), true
	case "server_ip":
		return r.Local.Unmap().WithZone("").AsSlice(), true
	case "server_port":
		return binary.BigEndian.AppendUint16(nil, rw.port), true
	}
	text, _ := r.Metadata(o.Variable)
	return []byte(text), text != "" // without it the rule does nothing, as in CoreDNS
}

// subnet is the data of the option client subnet for a client: family, bits, no scope, and the octets that the bits are
// in (RFC 7871 section 6).
func subnet(client netip.Addr, lengths [2]int) []byte {
	client = client.Unmap().WithZone("")
	family, bits := byte(1), lengths[0]
	if client.Is6() {
		family, bits = 2, lengths[1]
	}
	prefix, err := client.Prefix(bits)
	if err != nil {
		return []byte{0, family, 0, 0}
	}
	return append([]byte{0, family, byte(bits), 0}, prefix.Addr().AsSlice()[:(bits+7)/8]...)
}

func hasOption(options string, code uint16) (found bool) {
	wire.EachOption([]byte(options), func(c uint16, _ []byte) bool {
		found = found || c == code
		return !found
	})
	return found
}

func withoutOption(options string, code uint16) string {
	if !hasOption(options, code) {
		return options
	}
	var rest []byte
	wire.EachOption([]byte(options), func(c uint16, data []byte) bool {
		if c != code {
			rest = binary.BigEndian.AppendUint16(rest, c)
			rest = binary.BigEndian.AppendUint16(rest, uint16(len(data)))
			rest = append(rest, data...)
		}
		return true
	})
	return string(rest)
}
