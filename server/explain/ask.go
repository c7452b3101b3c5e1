package explain

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/observe"
	"github.com/clusterdns/clusterdns/observe/shadow"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// Asker asks one question, and says what came back.
type Asker func(ctx context.Context, name string, qtype uint16) Answer

// Answer is what came back for one question.
type Answer struct {
	Rcode   string   `json:"rcode,omitempty"` // NOERROR, NXDOMAIN, …; "" when nothing came back
	Records []string `json:"records,omitempty"`
	Code    uint16   `json:"ede,omitempty"`    // of the Extended DNS Error
	Reason  string   `json:"reason,omitempty"` // its text, or why nothing came back
	found   bool     // there is a record of the type that was asked for

	refusedPort bool // nothing listens where the question was sent
}

// outsideReason is the reason of a name that nobody was asked for, because only an upstream knows it.
const outsideReason = "outside of the cluster"

// target is where an alias without records of the type that was asked for leads, without a final dot; "" for no alias.
func (a *Answer) target() string {
	if len(a.Records) == 0 {
		return ""
	}
	words := strings.Fields(a.Records[len(a.Records)-1])
	if len(words) != 3 || words[1] != "CNAME" || a.found && a.Reason != outsideReason {
		return ""
	}
	return strings.TrimSuffix(words[2], ".")
}

// completed is the name that a server has found by the search list of a client who asked for name, without a final dot; ""
// if it has not. Before the domain of a namespace such names have two labels or more, and aliases of services have one.
func (a *Answer) completed(name, zone string) string {
	o, ok := objectOf(name, zone)
	if !ok || o.below == "" || len(a.Records) == 0 {
		return ""
	}
	words := strings.Fields(a.Records[0])
	written := o.below + "." + o.service + "."
	if len(words) != 3 || words[1] != "CNAME" || !strings.EqualFold(words[0], name+".") || !strings.HasPrefix(strings.ToLower(words[2]), written) {
		return ""
	}
	return strings.TrimSuffix(words[2], ".")
}

// denied reports whether every stub goes on. A name that was not asked for would most likely be denied.
func (a Answer) denied() bool { return a.Rcode == "NXDOMAIN" || a.Reason == outsideReason && !a.found }

// failed reports whether there was neither an answer nor a denial.
func (a Answer) failed() bool { return a.Rcode != "NOERROR" && !a.denied() }

// endsList reports whether glibc leaves the rest of the list out.
func (a Answer) endsList() bool { return a.failed() && a.Rcode != "SERVFAIL" }

// String is NODATA where the name exists, and the rcode otherwise.
func (a *Answer) String() string {
	switch {
	case a.Reason == outsideReason && len(a.Records) > 0:
		return "alias"
	case a.Reason == outsideReason:
		return "not asked"
	case a.Rcode == "":
		return "no reply"
	case a.Rcode == "NOERROR" && !a.found && (len(a.Records) == 0 || a.target() != ""): // found is not in JSON
		return "NODATA"
	}
	return a.Rcode
}

func (a *Answer) read(m *dns.Msg) {
	a.Rcode = dns.RcodeToString[m.Rcode]
	for _, record := range m.Answer {
		words := strings.Fields(record.String())
		a.Records = append(a.Records, strings.Join(append(words[:1], words[3:]...), " "))
		a.found = a.found || len(m.Question) > 0 && record.Header().Rrtype == m.Question[0].Qtype
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, option := range opt.Option {
			if ede, ok := option.(*dns.EDNS0_EDE); ok && a.Reason == "" {
				a.Code, a.Reason = ede.InfoCode, observe.Clean(ede.ExtraText)
			}
		}
	}
}

func query(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.SetEdns0(1232, false)
	return m
}

// Patience is how long a server may take for an answer; a stub resolver gives it 5 s, and asks again.
const Patience = 3 * time.Second

// Server asks a server over UDP, and over TCP where the reply is cut.
func Server(address netip.AddrPort) Asker {
	return func(ctx context.Context, name string, qtype uint16) (a Answer) {
		m := query(name, qtype)
		reply, _, err := shadow.Ask(ctx, address, m, Patience, false)
		if err != nil {
			a.Reason, a.refusedPort = silence(err, address), errors.Is(err, syscall.ECONNREFUSED)
			return a
		}
		a.read(reply)
		return a
	}
}

// silence says why nothing came back.
func silence(err error, address netip.AddrPort) string {
	var network net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at " + address.String()
	case errors.As(err, &network) && network.Timeout() || errors.Is(err, os.ErrDeadlineExceeded):
		return address.String() + " does not answer"
	}
	return err.Error()
}

// Loopback is the client that InProcess asks as where no other one is meant.
var Loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// InProcess asks a resolver of this process over TCP, as a client with that address.
func InProcess(r *resolver.Resolver, client netip.Addr) Asker {
	return func(ctx context.Context, name string, qtype uint16) (a Answer) {
		packet, err := query(name, qtype).Pack()
		if err != nil {
			a.Reason = err.Error()
			return a
		}
		request := &resolver.Request{Now: time.Now(), Proto: resolver.TCP, Local: Loopback, Client: netip.AddrPortFrom(client, 53)}
		reply, _ := r.Respond(ctx, request, packet, make([]byte, wire.MaxMessage))
		m := new(dns.Msg)
		if err := m.Unpack(reply); err != nil {
			a.Reason = "a rule of the Corefile drops the question"
			return a
		}
		a.read(m)
		return a
	}
}

// ClusterOnly asks for names of a cluster's zone alone: for those that only an upstream knows nobody is asked, and an
// alias that leads out of the zone is taken to be right.
func ClusterOnly(ask Asker, zone string) Asker {
	return func(ctx context.Context, name string, qtype uint16) Answer {
		if qtype != dns.TypePTR && !dns.IsSubDomain(zone+".", name) {
			return Answer{Reason: outsideReason}
		}
		a := ask(ctx, name, qtype)
		if target := a.target(); target != "" && !dns.IsSubDomain(zone+".", target+".") {
			a.Reason, a.found = outsideReason, true
		}
		return a
	}
}
