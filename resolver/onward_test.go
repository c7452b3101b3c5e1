package resolver

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestFallthroughOfGRPC: what the upstreams of grpc deny, or do not answer, goes to the steps behind it, also from the
// cache. Everything else is the answer.
func TestFallthroughOfGRPC(t *testing.T) {
	_, options, conns := web(t, true, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		packet, _ := unframeGRPC(body)
		m := new(dns.Msg)
		m.Unpack(replyTo(packet))
		switch {
		case strings.HasPrefix(m.Question[0].Name, "nope."):
			m.Rcode, m.Answer = dns.RcodeNameError, nil
		case strings.HasPrefix(m.Question[0].Name, "broken."):
			w.WriteHeader(500)
			return
		case strings.HasPrefix(m.Question[0].Name, "failed."):
			m.Rcode, m.Answer = dns.RcodeServerFailure, nil
		}
		w.Header().Set("Content-Type", grpcType)
		w.Header().Set("Trailer", "Grpc-Status")
		packed, _ := m.Pack()
		w.Write(frameGRPC(packed))
		w.Header().Set("Grpc-Status", "0")
	})
	options.From = "."
	for _, cache := range []*Cache{nil, {}} {
		r := running(t, nil, Block{Zones: []string{"."}, Cache: cache, Forwards: []Forward{options},
			Onward: Fallthrough{Zones: []string{"lab."}}, Erratic: &Erratic{}})
		for range 2 {
			for name, want := range map[string]string{
				"www.lab.":      "NOERROR 192.0.2.1",
				"nope.lab.":     "NOERROR 192.0.2.53",
				"broken.lab.":   "NOERROR 192.0.2.53",
				"failed.lab.":   "SERVFAIL",
				"nope.other.":   "NXDOMAIN",
				"failed.other.": "SERVFAIL",
			} {
				expect(t, name+" "+responded(t, r, asking(t, name+" A", time.Now())), name+" "+want)
			}
		}
	}
	if conns.Load() == 0 {
		t.Error("nobody was asked")
	}
}
