package logs

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones/wire"
)

// appendJSON appends r as one object. The fields of a query are there always; rcode and flags only where there is a
// reply, ede and reason only where something has to be explained, pod only where it is known. Durations are seconds, sizes octets.
func appendJSON(t []byte, r *record) []byte {
	t = append(t, `{"time":"`...)
	t = r.at.UTC().AppendFormat(t, time.RFC3339Nano)
	t = append(t, `","client":"`...)
	t = r.client.Addr().Unmap().AppendTo(t)
	if r.pod != "" {
		t = append(append(t, `","pod":"`...), r.pod...) // names of Kubernetes
	}
	t = append(t, `","port":`...)
	t = strconv.AppendUint(t, uint64(r.client.Port()), 10)
	t = append(t, `,"proto":"`...)
	t = append(t, r.proto.String()...)
	t = append(t, `","id":`...)
	t = strconv.AppendUint(t, uint64(r.id), 10)
	t = append(t, `,"opcode":`...)
	t = strconv.AppendUint(t, uint64(r.flags>>11&0xf), 10)
	t = append(t, `,"name":`...)
	var name [4*wire.MaxName + 1]byte
	t = appendString(t, wire.AppendName(name[:0], r.name[:r.nameSize]))
	t = append(t, `,"type":"`...)
	t = append(t, dns.Type(r.typ).String()...)
	t = append(t, `","class":"`...)
	t = append(t, dns.Class(r.class).String()...)
	t = append(t, `","size":`...)
	t = strconv.AppendInt(t, int64(r.size), 10)
	t = append(t, `,"do":`...)
	t = strconv.AppendBool(t, r.do)
	t = append(t, `,"bufsize":`...)
	t = strconv.AppendUint(t, uint64(r.bufsize), 10)
	if !r.dropped {
		t = append(t, `,"rcode":"`...)
		t = append(t, rcodeName(r.rcode)...)
		t = append(t, `","flags":"`...)
		t = append(appendFlags(t, r.replied), '"')
	}
	t = append(t, `,"rsize":`...)
	t = strconv.AppendInt(t, int64(r.replySize), 10)
	t = append(t, `,"duration":`...)
	t = strconv.AppendFloat(t, r.elapsed.Seconds(), 'f', -1, 64)
	if r.reason != "" {
		t = append(t, `,"ede":`...)
		t = strconv.AppendUint(t, uint64(r.info), 10)
		t = append(t, `,"reason":`...)
		t = appendString(t, []byte(r.reason))
	}
	return append(t, '}')
}

// appendString appends text as a string of JSON, RFC 8259 section 7. What is no UTF-8 becomes U+FFFD.
func appendString(t, text []byte) []byte {
	t = append(t, '"')
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		switch {
		case c == '"' || c == '\\':
			t = append(t, '\\', byte(c))
		case c < ' ':
			t = append(t, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&0xf])
		default:
			t = utf8.AppendRune(t, c)
		}
		text = text[size:]
	}
	return append(t, '"')
}
