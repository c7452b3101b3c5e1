package logs

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// format is a format of the directive log, split into its parts.
type format []part

// part is literal text, or a value of the record when value is set, or what metadata says of the label
// in text when isLabel is set.
type part struct {
	text     string
	value    func(text []byte, r *record) []byte
	isLabel  bool
	explains bool // value needs the reason
	names    bool // value needs the pod that asks
	client   Client
}

// Client is the pod that has an address, as NAMESPACE/NAME; "" where nobody is sure.
type Client func(netip.Addr) string

// PodOfClient is the placeholder for the pod that asks.
const PodOfClient = "{clusterdns/pod}"

// compile is what a line of the query log is made of. Lines of JSON are for programs, and have no level in front.
func compile(written string, client Client) format {
	if written == JSONLog {
		return format{{value: appendJSON, explains: true, client: client}}
	}
	f := append(format{{text: "[INFO] "}}, parseFormat(written)...)
	for i := range f {
		if f[i].names {
			f[i].client = client
		}
	}
	return f
}

// pod is who asks, if a line says it.
func (f format) pod(client netip.Addr) string {
	for i := range f {
		if f[i].client != nil {
			return f[i].client(client)
		}
	}
	return ""
}

// explains reports whether a line says why there is no answer.
func (f format) explains() bool {
	return slices.ContainsFunc(f, func(p part) bool { return p.explains })
}

// noValue stands in a line for a value that is missing.
const noValue = "-"

// parseFormat splits a format at its placeholders. Braces around other words are literal text, but for {/…}, a label of
// the directive metadata.
func parseFormat(written string) format {
	var parts format
	text := func(s string) {
		if s != "" {
			parts = append(parts, part{text: s})
		}
	}
	rest := written
	for {
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			break
		}
		start := strings.LastIndexByte(rest[:end], '{')
		word := ""
		if start >= 0 {
			word = rest[start+1 : end]
		}
		value := valueOf(word)
		switch {
		case value != nil:
			text(rest[:start])
			parts = append(parts, part{value: value, explains: word == ">ede", names: "{"+word+"}" == PodOfClient})
		case strings.HasPrefix(word, "/"):
			text(rest[:start])
			parts = append(parts, part{text: word[1:], isLabel: true})
		default:
			text(rest[:end+1])
		}
		rest = rest[end+1:]
	}
	text(rest)
	return parts
}

// append appends the line of r to text.
func (f format) append(text []byte, r *record) []byte {
	labels := 0
	for _, part := range f {
		switch {
		case part.value != nil:
			text = part.value(text, r)
		case part.isLabel:
			text = append(text, r.metadata[labels]...)
			labels++
		default:
			text = append(text, part.text...)
		}
	}
	return text
}

// metadata is the values of the labels in f for a request and its reply; nil if f has none.
func (f format) metadata(request *resolver.Request, reply []byte) (values []string) {
	for _, part := range f {
		if part.isLabel {
			values = append(values, metadata(request, reply, part.text))
		}
	}
	return values
}

// metadata is the value of a label. Those of log say what kind of reply it is.
func metadata(request *resolver.Request, reply []byte, label string) string {
	if request.HasMetadata() {
		switch label {
		case "log/type":
			return typeOf(request, reply)
		case "log/class":
			return classOf(request, reply).String()
		}
	}
	value, ok := request.Metadata(label)
	if !ok {
		return noValue
	}
	return value
}

// valueOf is what the placeholder {word} stands for, nil when it is none.
func valueOf(word string) func(text []byte, r *record) []byte {
	switch word {
	case "type":
		return func(t []byte, r *record) []byte { return append(t, dns.Type(r.typ).String()...) }
	case "name":
		return func(t []byte, r *record) []byte { return wire.AppendName(t, r.name[:r.nameSize]) }
	case "class":
		return func(t []byte, r *record) []byte { return append(t, dns.Class(r.class).String()...) }
	case "proto":
		return func(t []byte, r *record) []byte { return append(t, r.proto.String()...) }
	case "size":
		return func(t []byte, r *record) []byte { return strconv.AppendInt(t, int64(r.size), 10) }
	case "remote":
		return func(t []byte, r *record) []byte { return appendHost(t, r.client.Addr()) }
	case "port":
		return func(t []byte, r *record) []byte { return strconv.AppendUint(t, uint64(r.client.Port()), 10) }
	case "local":
		return func(t []byte, r *record) []byte { return appendHost(t, r.local) }
	case "clusterdns/pod":
		return func(t []byte, r *record) []byte { return append(t, cmp.Or(r.pod, noValue)...) }
	case ">id":
		return func(t []byte, r *record) []byte { return strconv.AppendUint(t, uint64(r.id), 10) }
	case ">opcode":
		return func(t []byte, r *record) []byte { return strconv.AppendUint(t, uint64(r.flags>>11&0xf), 10) }
	case ">do":
		return func(t []byte, r *record) []byte { return strconv.AppendBool(t, r.do) }
	case ">bufsize":
		return func(t []byte, r *record) []byte { return strconv.AppendUint(t, uint64(r.bufsize), 10) }
	case "rcode":
		return replied(func(t []byte, r *record) []byte { return append(t, rcodeName(r.rcode)...) })
	case ">rflags":
		return replied(func(t []byte, r *record) []byte { return appendFlags(t, r.replied) })
	case ">ede":
		return func(t []byte, r *record) []byte { return append(t, cmp.Or(r.reason, noValue)...) }
	case "rsize":
		return func(t []byte, r *record) []byte { return strconv.AppendInt(t, int64(r.replySize), 10) }
	case "duration":
		return func(t []byte, r *record) []byte {
			return append(strconv.AppendFloat(t, r.elapsed.Seconds(), 'f', -1, 64), 's')
		}
	}
	return nil
}

// replied is value where there is a reply.
func replied(value func(text []byte, r *record) []byte) func(text []byte, r *record) []byte {
	return func(text []byte, r *record) []byte {
		if r.dropped {
			return append(text, noValue...)
		}
		return value(text, r)
	}
}

// rcodeName is the mnemonic of rcode, or its number.
func rcodeName(rcode wire.Rcode) string {
	if name, ok := dns.RcodeToString[int(rcode)]; ok {
		return name
	}
	return strconv.Itoa(int(rcode))
}

// appendHost appends addr, an IPv6 address in brackets.
func appendHost(text []byte, addr netip.Addr) []byte {
	if addr = addr.Unmap(); addr.Is4() {
		return addr.AppendTo(text)
	}
	return append(addr.AppendTo(append(text, '[')), ']')
}

// appendFlags appends the mnemonics of the header flags that are set, RFC 1035 section 4.1.1 and RFC 4035 section 3.
func appendFlags(text []byte, flags uint16) []byte {
	start := len(text)
	for _, f := range [...]struct {
		bit  uint16
		name string
	}{{wire.FlagQR, "qr,"}, {wire.FlagAA, "aa,"}, {wire.FlagTC, "tc,"}, {wire.FlagRD, "rd,"}, {wire.FlagRA, "ra,"},
		{1 << 6, "z,"}, {wire.FlagAD, "ad,"}, {wire.FlagCD, "cd,"}} {
		if flags&f.bit != 0 {
			text = append(text, f.name...)
		}
	}
	if len(text) > start {
		text = text[:len(text)-1]
	}
	return text
}
