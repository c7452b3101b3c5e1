package resolver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/zones"
	"github.com/clusterdns/clusterdns/zones/feed"
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
	n := &notifier{of: indexVersions{zones.NewIndex(), "cluster.local."}, log: slog.New(slog.NewTextHandler(&log, nil)),
		secondary: netip.MustParseAddrPort(pc.LocalAddr().String())}
	for i, step := range []struct {
		rcode int32
		lines int // in all
	}{
		{dns.RcodeRefused, 1}, {dns.RcodeRefused, 1}, {dns.RcodeNotAuth, 2}, {dns.RcodeSuccess, 2}, {dns.RcodeRefused, 3},
	} {
		rcode.Store(step.rcode)
		n.notify(t.Context(), "cluster.local.")
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

// TestFolderIsNotified: a secondary is told of each zone of a folder that is new or has changed, by way of one notifier. One
// that is silent is not asked about all of them.
func TestFolderIsNotified(t *testing.T) {
	heard, answers := make(chan string, 16), atomic.Bool{}
	answers.Store(true)
	pc := must(net.ListenPacket("udp", "127.0.0.1:0"))
	server := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		if heard <- m.Question[0].Name; answers.Load() {
			w.WriteMsg(new(dns.Msg).SetReply(m))
		}
	}), MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }}
	go server.ActivateAndServe()
	defer server.Shutdown()

	directory := t.TempDir()
	write := func(zone string, serial int) {
		text := fmt.Sprintf("@ 60 IN SOA ns host %d 2 1 5 60\n", serial)
		if err := os.WriteFile(filepath.Join(directory, "db."+zone), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.test", 1)
	write("b.test", 1)
	write("a.elsewhere", 1)
	folder := must(feed.NewFolder(feed.FolderOptions{Directory: directory, Pattern: `db\.(.*)`, Origin: "${1}", Zones: []string{"."}},
		slog.New(slog.DiscardHandler)))
	n := &notifier{of: folderVersions{folder, must(zones.NewSet([]string{"test."}))}, log: slog.New(slog.DiscardHandler),
		secondary: netip.MustParseAddrPort(pc.LocalAddr().String())}
	expect := func(what string, sent bool, want ...string) {
		t.Helper()
		if got := n.tell(t.Context()); got != sent {
			t.Errorf("%s: sent=%v", what, got)
		}
		var got []string
		for len(heard) > 0 {
			got = append(got, <-heard)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	expect("at the start", true, "a.test.", "b.test.")
	expect("nothing new", false)
	write("b.test", 22)
	folder.Load()
	expect("a change", true, "b.test.")
	os.Remove(filepath.Join(directory, "db.b.test"))
	folder.Load()
	expect("a zone goes", false)
	write("b.test", 1)
	folder.Load()
	expect("it comes back", true, "b.test.")

	write("a.test", 333)
	write("b.test", 333)
	folder.Load()
	ctx, cancel := context.WithCancel(t.Context())
	answers.Store(false)
	go func() { <-heard; cancel() }()
	if n.tell(ctx) {
		t.Error("a silent secondary has answered")
	}
	answers.Store(true)
	if sent := n.tell(t.Context()); !sent || len(heard) != 1 {
		t.Errorf("the zone that was not told of: sent=%v, %d NOTIFYs", sent, len(heard))
	}
}
