package server

import (
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/config"
)

// TestExample serves the file that people learn from, and asks for a name of each directive that has zones. The file must
// show every directive that is served.
func TestExample(t *testing.T) {
	const name = "Corefile.example"
	t.Chdir("..")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range config.Directives() {
		if d != "proxy" && !regexp.MustCompile(`(?m)^\s*(# )?`+d+`\b`).Match(content) {
			t.Errorf("%s is not in the example", d)
		}
	}
	address := serveExample(t, name, content)
	for _, q := range []struct {
		directive, name string
		qtype, class    uint16
		want            string
	}{
		{"kubernetes", "kubernetes.default.svc.cluster.local.", dns.TypeA, dns.ClassINET, "30 A 10.96.0.1"},
		{"kubernetes", "1.0.96.10.in-addr.arpa.", dns.TypePTR, dns.ClassINET, "30 PTR kubernetes.default.svc.cluster.local."},
		{"k8s_external", "datarc-test-lb.datarc.outside.example.", dns.TypeA, dns.ClassINET, "30 A 203.0.113.10"},
		{"k8s_gateway", "datarc-test-lb.datarc.lan.example.", dns.TypeA, dns.ClassINET, "60 A 203.0.113.10"},
		{"etcd", "www.etcd.example.", dns.TypeA, dns.ClassINET, "SERVFAIL (etcd has not been read yet)"},
		{"forward", "www.internal.example.", dns.TypeA, dns.ClassINET, "REFUSED (" +
			"no zone here has this name, and the server block does not forward it)"},
		{"rewrite", "web.example.com.", dns.TypeA, dns.ClassINET, "60 A 192.0.2.10"},
		{"template", "10-0-0-7.ip.example.", dns.TypeA, dns.ClassINET, "60 A 10.0.0.7"},
		{"template", "www.dead.example.", dns.TypeA, dns.ClassINET, "NXDOMAIN (there is nothing below dead.example)"},
		{"hosts", "www.example.com.", dns.TypeA, dns.ClassINET, "60 A 192.0.2.10"},
		{"file", "web.example.org.", dns.TypeA, dns.ClassINET, "300 A 192.0.2.80"},
		{"local", "localhost.", dns.TypeA, dns.ClassINET, "604800 A 127.0.0.1"},
		{"any", "www.example.com.", dns.TypeANY, dns.ClassINET, `8482 HINFO "ANY obsoleted" "See RFC 8482"`},
		{"forward", "www.elsewhere.example.", dns.TypeA, dns.ClassINET, "30 A 192.0.2.7"},
		{"chaos", "authors.bind.", dns.TypeTXT, dns.ClassCHAOS, `0 TXT "the clusterdns authors"`},
		{"trace", "traced.example.", dns.TypeA, dns.ClassINET, "3600 A 192.0.2.7"},
		{"dnstap", "tapped.example.", dns.TypeA, dns.ClassINET, "3600 A 192.0.2.7"},
		{"shadow", "compared.example.", dns.TypeA, dns.ClassINET, "3600 A 192.0.2.7"},
		{"erratic", "erratic.example.", dns.TypeA, dns.ClassINET, "0 A 192.0.2.53"},
		{"whoami", "whoami.example.", dns.TypeA, dns.ClassINET, "NOERROR"},
	} {
		question := new(dns.Msg).SetQuestion(q.name, q.qtype)
		question.Question[0].Qclass = q.class
		question.SetEdns0(1232, false)
		client := dns.Client{Timeout: 5 * time.Second}
		reply, _, err := client.Exchange(question, address)
		if err != nil {
			t.Errorf("%s: %s: %v", q.directive, q.name, err)
		} else if got := recordOrReason(reply); got != q.want {
			t.Errorf("%s: %s is %q, want %q:\n%s", q.directive, q.name, got, q.want, reply)
		}
	}
}

// serveExample serves content until the test ends, with ports, resolvers and etcd of the test. All blocks share one address.
func serveExample(t *testing.T, name string, content []byte) (address string) {
	t.Helper()
	admin := regexp.MustCompile(`(?m)^    ((?:health|ready|prometheus|pprof|dashboard) (?:localhost|127\.0\.0\.1)):\d+`)
	text := strings.NewReplacer(":1053", ":0", "/etc/resolv.conf", newOutside(t).address.String(), ":2379", ":1").
		Replace(admin.ReplaceAllString(string(content), "    $1:0"))
	c, err := config.Parse(name, []byte(text), config.Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
	if len(c.Listeners) != 1 || c.Listeners[0].Addresses[0] != anyPort.AddrPort {
		t.Fatalf("%d listeners, the first on %s", len(c.Listeners), c.Listeners[0].Addresses)
	}
	p := NewProgram(io.Discard, slog.New(slog.DiscardHandler))
	t.Cleanup(p.Close)
	if err := p.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := p.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p.Addresses()[0].String()
}

// recordOrReason is the first record of a reply, or its rcode, and why.
func recordOrReason(reply *dns.Msg) string {
	text := firstRecord(reply)
	for _, option := range reply.IsEdns0().Option {
		if reason, ok := option.(*dns.EDNS0_EDE); ok {
			text += " (" + reason.ExtraText + ")"
		}
	}
	return text
}
