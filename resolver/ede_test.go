package resolver

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
)

// Where something of a namespace was left out, a name of it that is missing may be what was left out.
func TestOverBudgetIsSaid(t *testing.T) {
	index := zones.NewIndex()
	index.Update(time.Unix(1, 0), func(tx *zones.Tx) {
		for _, namespace := range []string{"prod", "evil"} {
			var b zones.Builder
			b.Start(namespace, "web")
			b.Address(b.Name(""), netip.MustParseAddr("10.96.0.1"))
			tx.SetService(must(b.Build()))
			b.Start(namespace, "idle")
			b.NoNames("service " + namespace + "/idle: 0 of 0 endpoints ready")
			tx.SetService(must(b.Build()))
		}
		tx.SetOver("evil", true)
		tx.SetSynced(zones.ServiceKinds)
	})
	r := must(New(Options{Blocks: []Block{{Zones: []string{"."},
		Kubernetes: []Kubernetes{{Zones: []string{"cluster.local."}, Index: index}}}}}, nil, slog.New(slog.DiscardHandler)))
	const over = ": not all of its namespace is known, which takes more memory than its budget"
	for name, want := range map[string]string{
		"nope.evil":           "service evil/nope" + over,
		"idle.evil":           "service evil/idle" + over,
		"_http._tcp.web.evil": "service evil/web" + over,
		"nope.prod":           "service prod/nope: not found",
		"idle.prod":           "service prod/idle: 0 of 0 endpoints ready",
		"nope.none":           "service none/nope: the namespace does not exist",
	} {
		reply, _ := r.Answer(new(Request), pack(t, name+".svc.cluster.local.", dns.TypeA), make([]byte, 4096))
		var m dns.Msg
		if err := m.Unpack(reply); err != nil || m.Rcode != dns.RcodeNameError {
			t.Fatalf("%s: %v, %v", name, err, m.Rcode)
		}
		got := ""
		for _, o := range m.IsEdns0().Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				got = e.ExtraText
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
