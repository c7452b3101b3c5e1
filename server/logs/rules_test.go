package logs

import (
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/zones/wire"
)

// The first rule whose zone matches decides, and its classes.
func TestLogRules(t *testing.T) {
	reply := func(rcode wire.Rcode, answers, authority []dns.RR) (*resolver.Request, []byte) {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
		request := &resolver.Request{}
		packet, _ := m.Pack()
		request.Query.Parse(packet)
		request.Reply.Rcode = rcode
		m.Response, m.Rcode, m.Answer, m.Ns = true, int(rcode), answers, authority
		packet, _ = m.Pack()
		return request, packet
	}
	rr := func(s string) []dns.RR {
		r, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		return []dns.RR{r}
	}
	a, soa, ns := rr("a.example. 5 A 192.0.2.1"), rr("example. 5 SOA a. b. 1 2 3 4 5"), rr("example. 5 NS a.")
	for _, test := range []struct {
		name               string
		rcode              wire.Rcode
		answers, authority []dns.RR
		want               Classes
	}{
		{"answer", wire.NoError, a, nil, Success},
		{"referral", wire.NoError, nil, ns, Success},
		{"empty", wire.NoError, nil, nil, Success},
		{"NODATA", wire.NoError, nil, soa, Denial},
		{"NXDOMAIN", wire.NameError, nil, soa, Denial},
		{"SERVFAIL", wire.ServerFailure, nil, nil, Failure},
		{"alias to NXDOMAIN", wire.NameError, a, soa, Failure}, // as CoreDNS has it
	} {
		request, packet := reply(test.rcode, test.answers, test.authority)
		if got := classOf(request, packet); got != test.want {
			t.Errorf("%s: class %b, want %b", test.name, got, test.want)
		}
		rules := Compile([]Log{{Zone: "other.", Format: "no", Classes: AllClasses},
			{Zone: "example.", Format: "yes", Classes: test.want}, {Zone: ".", Format: "late", Classes: AllClasses}}, nil)
		if f := rules.format(request, packet); len(f) != 2 || f[1].text != "yes" {
			t.Errorf("%s: format %v", test.name, f)
		}
		rules = Compile([]Log{{Zone: ".", Format: "no", Classes: AllClasses &^ test.want}}, nil)
		if f := rules.format(request, packet); f != nil {
			t.Errorf("%s: logged although its class is not", test.name)
		}
	}
}
