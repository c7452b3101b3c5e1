package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The words in which the tests say what is to be answered. Each asks until the
// answer over UDP is the right one, since a change takes its time, and then
// once over TCP, which must say the same. All of an answer counts: rcode, flags,
// records, TTLs and the reason.

// patience is how long a change may take to be answered. How long it does take
// is for the benchmarks. Controllers that find their own cache behind try again
// after 1 s, 2 s, 4 s, ...
const patience = time.Minute

// Reasons that do not name an object.
const (
	noSuchType     = "the name exists, without records of this type"
	namesOnlyBelow = "the name exists, without records of its own"
	nobody         = "no service or endpoint has this address"
)

// answers expects records of the zone, in zone file form: @ is the name asked
// for, 5 the TTL. Those of the additional section begin with "+ ". The question
// is "NAME TYPE" or, as for dig, "-x ADDRESS".
func (s *server) answers(t testing.TB, question string, records ...string) {
	t.Helper()
	s.expect(t, question, wanted(t, question, "NOERROR aa", records...))
}

// denies expects NXDOMAIN with a reason.
func (s *server) denies(t testing.TB, question, reason string) {
	t.Helper()
	s.expect(t, question, without(t, "NXDOMAIN aa", question, reason))
}

// lacks expects an answer without records, of a name that exists.
func (s *server) lacks(t testing.TB, question, reason string) {
	t.Helper()
	s.expect(t, question, without(t, "NOERROR aa", question, reason))
}

// waits expects that the answer is not known yet.
func (s *server) waits(t testing.TB, question string) {
	t.Helper()
	s.waitsFor(t, question, "")
}

// waitsFor expects that the answer is not known yet, for a reason that has these words.
func (s *server) waitsFor(t testing.TB, question, words string) {
	t.Helper()
	const want = "SERVFAIL\nerror 14 the cluster has not been read yet"
	s.expectThat(t, question, want+": "+words, func(got string) bool {
		return strings.HasPrefix(got, want) && strings.Contains(got, words)
	})
}

// wanted is an answer with records as summary writes it.
func wanted(t testing.TB, question, header string, records ...string) string {
	t.Helper()
	var answer, additional []string
	for _, text := range records {
		text, more := strings.CutPrefix(text, "+ ")
		rr := record(t, parseQuestion(t, question).Name, text)
		if more {
			additional = append(additional, "additional "+rr)
		} else {
			answer = append(answer, "answer "+rr)
		}
	}
	slices.SortStableFunc(answer, byRank)
	slices.Sort(additional)
	return strings.Join(slices.Concat([]string{header}, answer, additional), "\n") + "\n"
}

// without is an answer without records, as summary writes it.
func without(t testing.TB, header, question, reason string) string {
	t.Helper()
	name := dns.CanonicalName(parseQuestion(t, question).Name)
	for _, zone := range []string{"cluster.local.", "in-addr.arpa.", "ip6.arpa."} {
		if dns.IsSubDomain(zone, name) {
			return fmt.Sprintf("%s\nerror 0 %s\nauthority %s 5 IN SOA ns.dns.cluster.local. hostmaster.%s SERIAL 7200 1800 86400 5\n",
				header, reason, zone, zone)
		}
	}
	t.Fatalf("%s is in none of our zones", name)
	return ""
}

// expect asks over UDP until the answer is want, then over TCP once.
func (s *server) expect(t testing.TB, question, want string) {
	t.Helper()
	s.expectThat(t, question, want, func(got string) bool { return got == want })
}

func (s *server) expectThat(t testing.TB, question, want string, right func(got string) bool) {
	t.Helper()
	query := new(dns.Msg)
	q := parseQuestion(t, question)
	query.SetQuestion(q.Name, q.Qtype)
	query.SetEdns0(1232, false)
	var got string
	defer func() {
		if !right(got) {
			t.Logf("the last answer:\n%swant\n%s", got, want)
		}
	}()
	await(t, patience, question+" over UDP", func() bool {
		got = summaryOf(exchange(t.Context(), "udp", s.address, query))
		return right(got)
	})
	if got = summaryOf(exchange(t.Context(), "tcp", s.address, query)); !right(got) {
		t.Fatalf("%s over TCP", question)
	}
}

// parseQuestion reads "NAME TYPE" or "-x ADDRESS".
func parseQuestion(t testing.TB, text string) dns.Question {
	t.Helper()
	first, second, _ := strings.Cut(text, " ")
	if first == "-x" {
		name, err := dns.ReverseAddr(second)
		if err != nil {
			t.Fatal(err)
		}
		return dns.Question{Name: name, Qtype: dns.TypePTR, Qclass: dns.ClassINET}
	}
	qtype, ok := dns.StringToType[second]
	if !ok {
		t.Fatalf("%q has no type", text)
	}
	return dns.Question{Name: dns.Fqdn(first), Qtype: qtype, Qclass: dns.ClassINET}
}

// record is one record as summary writes it.
func record(t testing.TB, origin, text string) string {
	t.Helper()
	parser := dns.NewZoneParser(strings.NewReader(text+"\n"), origin, "")
	parser.SetDefaultTTL(5)
	rr, ok := parser.Next()
	if !ok {
		t.Fatalf("record %q: %v", text, parser.Err())
	}
	return line(rr)
}

// line is a record with single spaces. The serial of an SOA changes with
// everything, and is left out.
func line(rr dns.RR) string {
	fields := strings.Fields(rr.String())
	if rr.Header().Rrtype == dns.TypeSOA {
		fields[6] = "SERIAL"
	}
	return strings.Join(fields, " ")
}

// summaryOf is what counts of an answer, or the error.
func summaryOf(reply *dns.Msg, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	return summary(reply)
}

// summary is what counts of an answer as lines: rcode and flags, reasons, and
// the records of each section. Their order is free, but for aliases, which
// come first and in the order in which they lead on.
func summary(reply *dns.Msg) string {
	header := dns.RcodeToString[reply.Rcode]
	for _, flag := range []struct {
		name string
		set  bool
	}{{"aa", reply.Authoritative}, {"tc", reply.Truncated}, {"ra", reply.RecursionAvailable}} {
		if flag.set {
			header += " " + flag.name
		}
	}
	lines := []string{header}
	if opt := reply.IsEdns0(); opt != nil {
		for _, option := range opt.Option {
			if e, ok := option.(*dns.EDNS0_EDE); ok {
				lines = append(lines, fmt.Sprintf("error %d %s", e.InfoCode, e.ExtraText))
			}
		}
	}
	for _, section := range []struct {
		name    string
		records []dns.RR
	}{{"answer", reply.Answer}, {"authority", reply.Ns}, {"additional", reply.Extra}} {
		var all []string
		for _, rr := range section.records {
			if rr.Header().Rrtype != dns.TypeOPT {
				all = append(all, section.name+" "+line(rr))
			}
		}
		slices.SortStableFunc(all, byRank)
		lines = append(lines, all...)
	}
	return strings.Join(lines, "\n") + "\n"
}

func byRank(a, b string) int {
	first, second := strings.Contains(a, " IN CNAME "), strings.Contains(b, " IN CNAME ")
	switch {
	case first && second:
		return 0
	case first:
		return -1
	case second:
		return 1
	}
	return strings.Compare(a, b)
}

// steadily asks the same question without pause, from a new UDP socket each
// time and on one TCP connection, until the function that it returns is called,
// which returns how many answers came. A question without an answer fails the
// test, and so does an answer that right, called for each transport in order,
// refuses.
func (s *server) steadily(t testing.TB, question string, right func(proto string, reply *dns.Msg) error) (stop func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	q := parseQuestion(t, question)
	connection, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	client := &dns.Client{Timeout: 2 * time.Second}
	var asking sync.WaitGroup
	var answers atomic.Int64
	ask := func(proto string, exchange func(*dns.Msg) (*dns.Msg, error)) {
		for ctx.Err() == nil {
			reply, err := exchange(new(dns.Msg).SetQuestion(q.Name, q.Qtype))
			if err == nil {
				err = right(proto, reply)
			}
			if err != nil {
				if ctx.Err() == nil { // else the server may be ending too
					t.Errorf("%s over %s: %v", question, proto, err)
				}
				return
			}
			answers.Add(1)
		}
	}
	asking.Go(func() {
		ask("udp", func(query *dns.Msg) (*dns.Msg, error) {
			reply, _, err := client.Exchange(query, s.address)
			return reply, err
		})
	})
	asking.Go(func() {
		ask("tcp", func(query *dns.Msg) (*dns.Msg, error) {
			reply, _, err := client.ExchangeWithConn(query, &dns.Conn{Conn: connection})
			return reply, err
		})
	})
	stop = sync.OnceValue(func() int {
		cancel()
		asking.Wait()
		connection.Close()
		return int(answers.Load())
	})
	t.Cleanup(func() { stop() })
	return stop
}
