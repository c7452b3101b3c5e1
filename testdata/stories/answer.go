package stories

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Answer is what a story expects, or what came.
type Answer struct {
	silence bool
	rcode   string
	flags   []string
	errors  []string // code and text
	bufsize int      // of the OPT; 0 for the default
	subnet  string   // of the client, and the scope of the answer (RFC 7871); "" for none
	records [3][]string
}

// sections are the words for the sections, in the order of a message.
var sections = [3]string{"answer", "authority", "additional"}

// ownBufsize is what this server offers unless its Corefile says otherwise, RFC 9715.
const ownBufsize = 1232

// String is the answer as lines of a story.
func (a Answer) String() string {
	const indent = "    "
	if a.silence {
		return indent + "silence\n"
	}
	var text strings.Builder
	fmt.Fprintln(&text, indent+strings.Join(append([]string{a.rcode}, a.flags...), " "))
	for _, e := range a.errors {
		fmt.Fprintf(&text, "%s%-10s  %s\n", indent, "error", e)
	}
	if a.bufsize != 0 {
		fmt.Fprintf(&text, "%s%-10s  %d\n", indent, "bufsize", a.bufsize)
	}
	if a.subnet != "" {
		fmt.Fprintf(&text, "%s%-10s  %s\n", indent, "subnet", a.subnet)
	}
	for i, name := range sections {
		for _, r := range a.records[i] {
			fmt.Fprintf(&text, "%s%-10s  %s\n", indent, name, r)
		}
	}
	return text.String()
}

// Silence reports whether there is no answer.
func (a Answer) Silence() bool { return a.silence }

// parse takes in one line of an expected answer.
func (a *Answer) parse(text string) (err error) {
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	section := slices.Index(sections[:], word)
	switch {
	case word == "silence":
		a.silence = true
	case word == "error":
		a.errors = append(a.errors, rest)
	case word == "bufsize":
		a.bufsize, err = strconv.Atoi(rest)
	case word == "subnet":
		a.subnet = rest
	case section >= 0:
		var r string
		r, err = parseRecord(rest)
		a.records[section] = append(a.records[section], r)
	case a.rcode == "":
		if _, ok := dns.StringToRcode[word]; !ok && word != badVersion {
			return fmt.Errorf("%q is not an rcode", word)
		}
		a.rcode, a.flags = word, strings.Fields(rest)
	default:
		err = fmt.Errorf("%q is no line of an answer", text)
	}
	return err
}

// sort puts in order what has none. Aliases come first, and keep the order in which they are followed.
func (a *Answer) sort() {
	rank := func(flag string) int { return slices.Index(flagNames[:], flag) }
	slices.SortFunc(a.flags, func(x, y string) int { return rank(x) - rank(y) })
	for _, list := range a.records {
		slices.SortStableFunc(list, func(x, y string) int {
			switch first, second := isAlias(x), isAlias(y); {
			case first && second:
				return 0
			case first:
				return -1
			case second:
				return 1
			}
			return strings.Compare(x, y)
		})
	}
}

func isAlias(record string) bool { return strings.Contains(record, " IN CNAME ") }

const (
	anySerial = "SERIAL"
	anyPort   = " PORT "
	ownData   = "..."
)

// parseRecord reads a record as a person writes it, and gives it as String does.
func parseRecord(text string) (string, error) {
	if owner, data, own := cutOwnSOA(text); own {
		return owner + " " + data, nil
	}
	if _, _, ok := parseCount(text); ok {
		return text, nil
	}
	if isSignature(text) {
		return text, nil
	}
	rr, err := dns.NewRR(strings.NewReplacer(anySerial, "0", anyPort, " 0 ").Replace(text))
	if err != nil {
		return "", err
	}
	if rr == nil {
		return "", errors.New("a record is missing")
	}
	return recordString(rr), nil
}

// cutOwnSOA takes apart "cluster.local. 30 IN SOA ...".
func cutOwnSOA(text string) (owner, data string, own bool) {
	f := strings.Fields(text)
	if len(f) == 5 && f[3] == "SOA" && f[4] == ownData {
		return f[0], strings.Join(f[1:], " "), true
	}
	return "", "", false
}

// isSignature reports whether text is an RRSIG record without its times and the signature.
func isSignature(text string) bool {
	f := strings.Fields(text)
	return len(f) == 11 && f[3] == "RRSIG" && f[10] == ownData
}

// recordString is a record in zone-file form, with single spaces and what may differ from run to run left out.
func recordString(rr dns.RR) string {
	if soa, ok := rr.(*dns.SOA); ok {
		head := fmt.Sprintf("%s %d IN SOA ", soa.Hdr.Name, soa.Hdr.Ttl)
		zone := strings.ToLower(soa.Hdr.Name)
		server := zone
		if dns.IsSubDomain("in-addr.arpa.", zone) || dns.IsSubDomain("ip6.arpa.", zone) {
			server = "cluster.local."
		}
		if soa.Ns == "ns.dns."+server && soa.Mbox == "hostmaster."+zone && soa.Minttl == soa.Hdr.Ttl &&
			[3]uint32{soa.Refresh, soa.Retry, soa.Expire} == [3]uint32{7200, 1800, 86400} {
			return head + ownData
		}
		return head + fmt.Sprintf("%s %s %s %d %d %d %d", soa.Ns, soa.Mbox, anySerial, soa.Refresh, soa.Retry, soa.Expire, soa.Minttl)
	}
	if s, ok := rr.(*dns.RRSIG); ok {
		return fmt.Sprintf("%s %d IN RRSIG %s %d %d %d %d %s ...", s.Hdr.Name, s.Hdr.Ttl, dns.TypeToString[s.TypeCovered], s.Algorithm,
			s.Labels, s.OrigTtl, s.KeyTag, s.SignerName)
	}
	if srv, ok := rr.(*dns.SRV); ok && srv.Target == "." && srv.Priority == 0 && srv.Weight == 0 { // of whoami
		return fmt.Sprintf("%s %d IN SRV 0 0%s.", srv.Hdr.Name, srv.Hdr.Ttl, anyPort)
	}
	return strings.ReplaceAll(rr.String(), "\t", " ")
}

var flagNames = [...]string{"aa", "tc", "rd", "ra", "z", "ad", "cd"}

func flagsOf(h *dns.MsgHdr) (flags []string) {
	for i, set := range []bool{h.Authoritative, h.Truncated, h.RecursionDesired, h.RecursionAvailable, h.Zero, h.AuthenticatedData, h.CheckingDisabled} {
		if set {
			flags = append(flags, flagNames[i])
		}
	}
	return flags
}

// Like is the answer with those of its records counted that want counts.
func (a Answer) Like(want Answer) Answer {
	for section, list := range want.records {
		for _, counted := range list {
			typ, owner, ok := parseCount(counted)
			if !ok {
				continue
			}
			n := 0
			a.records[section] = slices.DeleteFunc(slices.Clone(a.records[section]), func(r string) bool {
				f := strings.Fields(r)
				found := len(f) > 3 && f[3] == typ && (owner == anyName || f[0] == owner)
				if found {
					n++
				}
				return found
			})
			a.records[section] = append(a.records[section], fmt.Sprintf("%d %s of %s", n, typ, owner))
		}
	}
	a.sort()
	return a
}

// Aged is the answer with the TTLs of want, where those that came are at most two seconds smaller: what is forwarded may have been kept
// meanwhile. TTLs of our own zones never count down and are left as they came.
func (a Answer) Aged(want Answer, ours []string) Answer {
	for i := range a.records {
		a.records[i] = slices.Clone(a.records[i])
		for n, r := range a.records[i] {
			for seconds := range 3 {
				if before := earlier(r, seconds); !within(r, ours) && slices.Contains(want.records[i], before) {
					a.records[i][n] = before
					break
				}
			}
		}
	}
	return a
}

// earlier is a record as it was that many seconds ago.
func earlier(record string, seconds int) string {
	f := strings.SplitN(record, " ", 3)
	ttl, err := strconv.Atoi(f[1])
	if err != nil || len(f) < 3 {
		return record
	}
	return f[0] + " " + strconv.Itoa(ttl+seconds) + " " + f[2]
}

func within(record string, zones []string) bool {
	owner, _, _ := strings.Cut(record, " ")
	return slices.ContainsFunc(zones, func(z string) bool { return dns.IsSubDomain(z, owner) })
}

const anyName = "*"

// parseCount reads "29 A of web.prod.svc.cluster.local.".
func parseCount(text string) (typ, owner string, ok bool) {
	f := strings.Fields(text)
	if len(f) != 4 || f[2] != "of" {
		return "", "", false
	}
	_, err := strconv.Atoi(f[0])
	return f[1], f[3], err == nil
}

// Read is what a reply says; nil stands for silence. The error is that it breaks a rule that every reply keeps.
func (q *Question) Read(reply []byte, udp bool) (Answer, error) {
	if reply == nil {
		return Answer{silence: true}, nil
	}
	var m dns.Msg
	if err := m.Unpack(reply); err != nil {
		return Answer{}, fmt.Errorf("the reply is malformed: %w", err)
	}
	a := Answer{rcode: rcodeString(m.Rcode), flags: flagsOf(&m.MsgHdr)}
	opts := 0
	for i, list := range [3][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range list {
			if opt, ok := rr.(*dns.OPT); ok {
				opts++
				a.option(opt)
				continue
			}
			a.records[i] = append(a.records[i], recordString(rr))
		}
	}
	return a, errors.Join(q.keepsHeader(reply, &m), q.keepsOPT(&m, opts), q.keepsSize(reply, udp), q.keepsRecords(&m), a.finish())
}

// finish brings the answer into the form of a story's.
func (a *Answer) finish() error {
	for i, list := range a.records {
		sorted := slices.Sorted(slices.Values(list))
		if len(slices.Compact(sorted)) != len(list) {
			return fmt.Errorf("the %s section has a record twice (RFC 2181 section 5)", sections[i])
		}
	}
	a.sort()
	return nil
}

const badVersion = "BADVERS" // of a number that is BADSIG's too

func rcodeString(rcode int) string {
	if rcode == dns.RcodeBadVers {
		return badVersion
	}
	if text, ok := dns.RcodeToString[rcode]; ok {
		return text
	}
	return "RCODE" + strconv.Itoa(rcode)
}

// option takes in what the reply's OPT says.
func (a *Answer) option(opt *dns.OPT) {
	if size := int(opt.UDPSize()); size != ownBufsize {
		a.bufsize = size
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_SUBNET); ok {
			a.subnet = fmt.Sprintf("%s/%d, scope %d", e.Address, e.SourceNetmask, e.SourceScope)
		} else if e, ok := o.(*dns.EDNS0_EDE); ok {
			a.errors = append(a.errors, strings.TrimSpace(fmt.Sprintf("%d %s", e.InfoCode, e.ExtraText)))
		} else {
			a.errors = append(a.errors, "option "+o.String())
		}
	}
}

// keepsHeader: a reply names the query it answers, RFC 1035 section 4.1.1.
func (q *Question) keepsHeader(reply []byte, m *dns.Msg) error {
	sent := q.Packet
	switch {
	case !bytes.Equal(reply[:2], sent[:2]):
		return errors.New("the ID is not the query's")
	case !m.Response:
		return errors.New("QR is not set")
	case reply[2]&0x78 != sent[2]&0x78:
		return errors.New("the opcode is not the query's")
	case m.Zero:
		return errors.New("the Z bit is set")
	}
	if q.raw || len(m.Question) == 0 && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		return nil
	}
	if len(m.Question) != 1 || m.Question[0] != q.msg.Question[0] {
		return fmt.Errorf("the question section is %v, case included it should be %v", m.Question, q.msg.Question[:1])
	}
	return nil
}

// keepsOPT: an OPT is answered by one OPT, and by nothing else, RFC 6891 sections 6.1.1 and 7. What is malformed may be answered either
// way.
func (q *Question) keepsOPT(m *dns.Msg, opts int) error {
	opt := m.IsEdns0()
	switch {
	case q.raw:
		return nil
	case q.opts == 0 && opts > 0:
		return errors.New("there is an OPT, and the query had none")
	case opts == 0 && (q.opts == 0 || m.Rcode == dns.RcodeFormatError):
		return nil
	case opts != 1 || opt == nil:
		return fmt.Errorf("there are %d OPTs in the reply", opts)
	case opt.Version() != 0:
		return fmt.Errorf("the OPT has version %d", opt.Version())
	case opt.UDPSize() < dns.MinMsgSize:
		return fmt.Errorf("the OPT offers %d octets", opt.UDPSize())
	case q.edns && opt.Do() != q.do:
		return errors.New("the DO bit is not the query's (RFC 3225)")
	}
	return nil
}

// keepsSize: over UDP a reply is no larger than the client takes, RFC 6891 section 6.2.3 and RFC 1035 section 4.2.1.
func (q *Question) keepsSize(reply []byte, udp bool) error {
	if limit := max(q.offered, dns.MinMsgSize); udp && len(reply) > limit {
		return fmt.Errorf("the reply has %d octets, and the client takes %d", len(reply), limit)
	}
	return nil
}

// keepsRecords: class IN or that of the question, TTLs of 31 bits, aliases in the order in which they are followed (RFC 1034 section 3.6.2, RFC 2181 section 8).
func (q *Question) keepsRecords(m *dns.Msg) error {
	next, class := "", uint16(dns.ClassINET)
	if len(m.Question) > 0 {
		next, class = m.Question[0].Name, m.Question[0].Qclass
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns, m.Extra) {
		h := rr.Header()
		if h.Rrtype != dns.TypeOPT && (h.Class != dns.ClassINET && h.Class != class || h.Ttl > 1<<31-1) {
			return fmt.Errorf("%s has another class than IN and the question, or a TTL above 2^31-1", rr)
		}
	}
	for _, rr := range m.Answer {
		if q.apart {
			break
		}
		if rr.Header().Rrtype == dns.TypeRRSIG && q.msg.Question[0].Qtype != dns.TypeRRSIG {
			continue // of the records above it
		}
		if rr.Header().Rrtype == dns.TypeDNAME && dns.IsSubDomain(rr.Header().Name, next) {
			continue // the alias that is made of it follows (RFC 6672 section 3.1)
		}
		if !strings.EqualFold(rr.Header().Name, next) {
			return fmt.Errorf("%s stands where a record of %s belongs", rr, next)
		}
		if c, ok := rr.(*dns.CNAME); ok && m.Question[0].Qtype != dns.TypeCNAME {
			next = c.Target
		}
	}
	return nil
}
