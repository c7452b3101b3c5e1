package stories

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Question is one question of a story, and the answer it expects.
type Question struct {
	Text   string // the line of the story
	Packet []byte // what is sent
	Want   Answer

	written string // the lines of Want
	msg     dns.Msg
	udpOnly bool
	tcpOnly bool
	apart   bool // the answer begins at another name than the question's
	raw     bool // written in hexadecimal: the story alone judges what comes back
	opts    int
	edns    bool // it has one OPT, and that is well-formed
	do      bool
	offered int // octets of UDP payload
}

// request is what the options of a question say.
type request struct {
	header  dns.MsgHdr
	queries int
	opts    int // OPT records
	optName string
	answer  bool // they stand in the answer section
	size    uint16
	version uint8
	do      bool
	co      bool   // RFC 9824
	data    []byte // of the OPT
	more    []byte
	spoiled bool // no well-formed OPT
}

// parseQuestion reads the line of the number-th question, and makes its message.
func parseQuestion(text string, number int) (*Question, error) {
	words := strings.Fields(text)
	end := slices.IndexFunc(words, func(w string) bool { return w[0] == '+' })
	if end < 0 {
		end = len(words)
	}
	words, options := words[:end], words[end:]
	r := request{queries: 1, opts: 1, optName: ".", size: 1232}
	r.header.Id, r.header.RecursionDesired = uint16(4711+number), true
	q := &Question{Text: text}
	for _, o := range options {
		if err := q.option(&r, o); err != nil {
			return nil, fmt.Errorf("%s: %w", o, err)
		}
	}
	if len(words) > 0 && words[0] == "packet" {
		var err error
		q.raw = true
		q.Packet, err = hex.DecodeString(strings.Join(words[1:], ""))
		return q, err
	}
	asked, err := parseAsked(words)
	if err != nil {
		return nil, err
	}
	q.msg.MsgHdr = r.header
	q.msg.Question = slices.Repeat([]dns.Question{asked}, r.queries)
	q.opts, q.do = r.opts, r.do
	q.edns = r.opts == 1 && !r.spoiled
	q.offered = dns.MinMsgSize
	if q.edns {
		q.offered = max(int(r.size), dns.MinMsgSize)
	}
	q.Packet, err = r.pack(&q.msg)
	return q, err
}

// parseAsked reads name, type and perhaps class.
func parseAsked(words []string) (dns.Question, error) {
	if len(words) < 2 || len(words) > 3 {
		return dns.Question{}, fmt.Errorf("a question is a name, a type and perhaps a class, then options with a + before them")
	}
	asked := dns.Question{Name: words[0], Qclass: dns.ClassINET}
	if _, ok := dns.IsDomainName(asked.Name); !ok || !dns.IsFqdn(asked.Name) {
		return asked, fmt.Errorf("%q is not a name with a dot at its end", asked.Name)
	}
	var ok bool
	if asked.Qtype, ok = dns.StringToType[words[1]]; !ok {
		number, err := strconv.ParseUint(strings.TrimPrefix(words[1], "TYPE"), 10, 16)
		if err != nil {
			return asked, fmt.Errorf("%q is not a type", words[1])
		}
		asked.Qtype = uint16(number)
	}
	if len(words) == 3 {
		if asked.Qclass, ok = dns.StringToClass[words[2]]; !ok {
			return asked, fmt.Errorf("%q is not a class", words[2])
		}
	}
	return asked, nil
}

// option reads one option of a question.
func (q *Question) option(r *request, text string) (err error) {
	name, value, _ := strings.Cut(text[1:], "=")
	number := func(bits int) uint64 {
		n, e := strconv.ParseUint(value, 10, bits)
		err = e
		return n
	}
	octets := func(text string) []byte {
		data, e := hex.DecodeString(text)
		err = e
		return data
	}
	switch name {
	case "tcp":
		q.tcpOnly = true
	case "udp":
		q.udpOnly = true
	case "apart":
		q.apart = true
	case "noedns":
		r.opts = 0
	case "bufsize":
		r.size = uint16(number(16))
	case "do":
		r.do = true
	case "co":
		r.co = true
	case "edns":
		r.version = uint8(number(8))
	case "ednsopt":
		var data string
		value, data, _ = strings.Cut(value, ":")
		r.data = binary.BigEndian.AppendUint16(r.data, uint16(number(16)))
		r.data = binary.BigEndian.AppendUint16(r.data, uint16(len(data)/2))
		r.data = append(r.data, octets(data)...)
	case "optdata":
		r.data, r.spoiled = octets(value), true
	case "optname":
		r.optName, r.spoiled = value, true
	case "opts":
		r.opts = int(number(4))
	case "optanswer":
		r.answer, r.spoiled = true, true
	case "norec":
		r.header.RecursionDesired = false
	case "cd":
		r.header.CheckingDisabled = true
	case "ad":
		r.header.AuthenticatedData = true
	case "opcode":
		r.header.Opcode = int(number(4))
	case "qdcount":
		r.queries = int(number(4))
	case "more":
		r.more = octets(value)
	default:
		err = fmt.Errorf("no such option")
	}
	return err
}

// pack is the message with its OPT records, which may be such as no library would write.
func (r *request) pack(m *dns.Msg) ([]byte, error) {
	packet, err := m.Pack()
	if err != nil {
		return nil, err
	}
	name := make([]byte, 255)
	size, err := dns.PackDomainName(r.optName, name, 0, nil, false)
	if err != nil {
		return nil, err
	}
	flags := uint32(r.version) << 16
	if r.do {
		flags |= 1 << 15
	}
	if r.co {
		flags |= 1 << 14
	}
	for range r.opts {
		packet = append(packet, name[:size]...)
		packet = binary.BigEndian.AppendUint16(packet, dns.TypeOPT)
		packet = binary.BigEndian.AppendUint16(packet, r.size)
		packet = binary.BigEndian.AppendUint32(packet, flags)
		packet = binary.BigEndian.AppendUint16(packet, uint16(len(r.data)))
		packet = append(packet, r.data...)
	}
	count := packet[10:12]
	if r.answer {
		count = packet[6:8]
	}
	binary.BigEndian.PutUint16(count, uint16(r.opts))
	return append(packet, r.more...), nil
}

// UDP reports whether the question is to be asked over UDP.
func (q *Question) UDP() bool { return !q.tcpOnly }

// TCP reports whether the question is to be asked over TCP. An answer that was cut is whole there, and so has a question of its own.
func (q *Question) TCP() bool { return q.tcpOnly || !q.udpOnly && !slices.Contains(q.Want.flags, "tc") }
