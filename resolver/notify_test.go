package resolver

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
)

// TestRefusedNotify: a secondary that refuses NOTIFY is warned of with its rcode, once until it answers otherwise.
func TestRefusedNotify(t *testing.T) {
	var rcode atomic.Int32
	var heard atomic.Int32
	pc := must(net.ListenPacket("udp", "127.0.0.1:0"))
	server := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		heard.Add(1)
		w.WriteMsg(new(dns.Msg).SetRcode(m, int(rcode.Load())))
	})}
	go server.ActivateAndServe()
	defer server.Shutdown()

	var log bytes.Buffer
	n := &notifier{zone: "cluster.local.", of: indexVersions{zones.NewIndex()}, log: slog.New(slog.NewTextHandler(&log, nil)),
		secondary: netip.MustParseAddrPort(pc.LocalAddr().String())}
	for i, step := range []struct {
		rcode int32
		lines int // in all
	}{
		{dns.RcodeRefused, 1}, {dns.RcodeRefused, 1}, {dns.RcodeNotAuth, 2}, {dns.RcodeSuccess, 2}, {dns.RcodeRefused, 3},
	} {
		rcode.Store(step.rcode)
		n.notify(t.Context())
		if heard.Load() != int32(i+1) || strings.Count(log.String(), "level=WARN") != step.lines {
			t.Errorf("step %d: %d NOTIFYs, log:\n%s", i, heard.Load(), log.String())
		}
	}
	for _, want := range []string{"rcode=REFUSED", "rcode=NOTAUTH", "zone=cluster.local."} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, log.String())
		}
	}
}
