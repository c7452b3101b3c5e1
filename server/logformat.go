package server

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// logFormat is a format of the directive log, cut into its parts.
type logFormat []logPart

// logPart is literal text, or a value of the record when value is set.
type logPart struct {
	text  string
	value func(text []byte, r *logRecord) []byte
}

// noValue stands for what is not known.
const noValue = "-"

// parseLogFormat cuts format at its placeholders. Braces around words that are not placeholders are text; metadata, {/…}, is not
// known here.
func parseLogFormat(format string) logFormat {
	var parts logFormat
	text := func(s string) {
		if s != "" {
			parts = append(parts, logPart{text: s})
		}
	}
	rest := format
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
		value := logValues(word)
		switch {
		case value != nil:
			text(rest[:start])
			parts = append(parts, logPart{value: value})
		case strings.HasPrefix(word, "/"):
			text(rest[:start] + noValue)
		default:
			text(rest[:end+1])
		}
		rest = rest[end+1:]
	}
	text(rest)
	return parts
}

func (f logFormat) append(text []byte, r *logRecord) []byte {
	for _, part := range f {
		if part.value != nil {
			text = part.value(text, r)
		} else {
			text = append(text, part.text...)
		}
	}
	return text
}

// logValues is what the placeholder {word} stands for, nil when it is none.
func logValues(word string) func(text []byte, r *logRecord) []byte {
	switch word {
	case "type":
		return func(t []byte, r *logRecord) []byte { return append(t, dns.Type(r.typ).String()...) }
	case "name":
		return func(t []byte, r *logRecord) []byte { return wire.AppendName(t, r.name[:r.nameSize]) }
	case "class":
		return func(t []byte, r *logRecord) []byte { return append(t, dns.Class(r.class).String()...) }
	case "proto":
		return func(t []byte, r *logRecord) []byte { return append(t, protoName(r.proto)...) }
	case "size":
		return func(t []byte, r *logRecord) []byte { return strconv.AppendInt(t, int64(r.size), 10) }
	case "remote":
		return func(t []byte, r *logRecord) []byte { return appendHost(t, r.client.Addr()) }
	case "port":
		return func(t []byte, r *logRecord) []byte { return strconv.AppendUint(t, uint64(r.client.Port()), 10) }
	case "local":
		return func(t []byte, r *logRecord) []byte { return appendHost(t, r.local) }
	case ">id":
		return func(t []byte, r *logRecord) []byte { return strconv.AppendUint(t, uint64(r.id), 10) }
	case ">opcode":
		return func(t []byte, r *logRecord) []byte { return strconv.AppendUint(t, uint64(r.flags>>11&0xf), 10) }
	case ">do":
		return func(t []byte, r *logRecord) []byte { return strconv.AppendBool(t, r.do) }
	case ">bufsize":
		return func(t []byte, r *logRecord) []byte { return strconv.AppendUint(t, uint64(r.bufsize), 10) }
	case "rcode":
		return func(t []byte, r *logRecord) []byte { return append(t, rcodeName(r.rcode, "")...) }
	case ">rflags":
		return func(t []byte, r *logRecord) []byte { return appendFlags(t, r.replied) }
	case "rsize":
		return func(t []byte, r *logRecord) []byte { return strconv.AppendInt(t, int64(r.replySize), 10) }
	case "duration":
		return func(t []byte, r *logRecord) []byte {
			return append(strconv.AppendFloat(t, r.elapsed.Seconds(), 'f', -1, 64), 's')
		}
	}
	return nil
}

func protoName(p resolver.Proto) string {
	if p == resolver.TCP {
		return "tcp"
	}
	return "udp"
}

// rcodeName is the mnemonic of rcode, or its number behind prefix.
func rcodeName(rcode wire.Rcode, prefix string) string {
	if name, ok := dns.RcodeToString[int(rcode)]; ok {
		return name
	}
	return prefix + strconv.Itoa(int(rcode))
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
