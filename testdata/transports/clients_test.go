package transports

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// query is a question for the addresses of name, with the identifier 0.
func query(t *testing.T, name string) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	m.Id = 0
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// call is query as a call of gRPC: a message with one field of octets, behind a flag and its length.
func call(query []byte) []byte {
	return append([]byte{0, 0, 0, 0, byte(len(query) + 2), 10, byte(len(query))}, query...)
}

// TestClients: clients that are not ours, and what they print. In their arguments PORT-TLS and its like are ports, DIR is
// the folder of the certificate and of the files below, and QUERY is the query in base64url.
func TestClients(t *testing.T) {
	s := start(t)
	q := query(t, "good.test.")
	for name, content := range map[string][]byte{
		"q": q, "call": call(q), "oversized": make([]byte, 10_000),
		"load":  []byte("good.test A\nlarge.test A\nnone.test A\n"),
		"small": []byte("good.test A\nnone.test A\n"),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const (
		asMessage = " -H Content-Type:application/dns-message"
		answer    = `good\.test\.\s+3600\s+IN\s+A\s+10\.0\.0\.1`
		doh       = " https://127.0.0.1:PORT-HTTPS/dns-query"
		doh3      = "gtlsclient --no-quic-dump --exit-on-all-streams-close 127.0.0.1 PORT-HTTPS3 https://127.0.0.1:PORT-HTTPS3/"
		grpc      = " -H TE:trailers --data-binary @DIR/call https://127.0.0.1:PORT-GRPC/coredns.dns.DnsService/Query"
		curl      = "curl -s --cacert DIR/crt.pem -o - "
		status    = "curl -s --cacert DIR/crt.pem -o DIR/body -w %{http_version}_%{http_code}"
	)
	all := fmt.Sprintf("ANSWER: %d;", large)
	for _, test := range []struct{ command, want string }{
		{"kdig @127.0.0.1 -p PORT-TLS +tls-ca=DIR/crt.pem +tls-hostname=lab.test good.test", answer},
		{"kdig @127.0.0.1 -p PORT-TLS +tls +keepopen good.test good.test", "(?s)" + answer + ".*" + answer},
		{"kdig @127.0.0.1 -p PORT-TLS +tls large.test", all},
		{"kdig @127.0.0.1 -p PORT-TLS +tls +padding good.test", `(?s)PADDING: \d+ B.*Received 468 B`},
		{"kdig @127.0.0.1 -p PORT-TLS +tls +nopadding good.test", `Received \d\d B`},
		{"kdig @127.0.0.1 -p PORT-HTTPS +https +padding good.test", `(?s)PADDING: \d+ B.*Received 468 B`},
		{"kdig @127.0.0.1 -p PORT-QUIC +quic +padding good.test", `(?s)PADDING: \d+ B.*Received 468 B`},
		{"kdig @127.0.0.1 -p PORT-DNS +padding good.test", `Received \d\d B`},
		{"kdig @127.0.0.1 -p PORT-HTTPS +https good.test", `(?s)HTTP/2-POST.*status: 200.*` + answer},
		{"kdig @127.0.0.1 -p PORT-HTTPS +https-get good.test", `(?s)HTTP/2-GET.*status: 200.*` + answer},
		{"kdig @127.0.0.1 -p PORT-HTTPS +https large.test", all},
		{"kdig @127.0.0.1 -p PORT-QUIC +quic good.test", `(?s)QUIC session.*` + answer},
		{"kdig @127.0.0.1 -p PORT-QUIC +quic large.test", all},

		{"dig @127.0.0.1 -p PORT-TLS +tls good.test", "(?s)" + answer + `.*\(TLS\)`},
		{"dig @127.0.0.1 -p PORT-HTTPS +https good.test", "(?s)" + answer + `.*\(HTTPS\)`},
		{"dig @127.0.0.1 -p PORT-HTTPS +https-get good.test", "(?s)" + answer + `.*\(HTTPS-GET\)`},

		{status + doh + "?dns=QUERY", "^2_200$"},
		{status + " --http1.1" + doh + "?dns=QUERY", "^1.1_200$"},
		{status + asMessage + " --data-binary @DIR/q" + doh, "^2_200$"},
		{curl + "-i" + doh + "?dns=QUERY", "content-type: application/dns-message"},
		{curl + "-i" + doh + "?dns=QUERY", "cache-control: max-age=3600"},
		{status + " --data-binary @DIR/q" + doh, "^2_415$"},
		{status + asMessage + " --data-binary @DIR/oversized" + doh, "^2_413$"},
		{status + asMessage + " --data-binary @DIR/oversized --http1.1" + doh, "^1.1_413$"},
		{status + " -X PUT" + doh, "^2_405$"},
		{status + " https://127.0.0.1:PORT-HTTPS/", "^2_404$"},
		{status + doh + "?dns=%21", "^2_400$"},
		{status + doh, "^2_400$"},
		{curl + "-H Content-Type:application/grpc" + grpc, `good\x04test`},
		{status + grpc, "^2_415$"},

		{doh3 + "dns-query?dns=QUERY", `(?s):status: 200.*max-age=3600.*body 43 bytes`},
		{doh3 + "dns-query?dns=%21", ":status: 400"},
		{doh3 + "?dns=QUERY", ":status: 404"},
		{doh3 + "dns-query -m POST -d DIR/q", ":status: 415"},
		{doh3 + "dns-query -m PUT", ":status: 405"},

		{"dnsperf -m dot -s 127.0.0.1 -p PORT-TLS -d DIR/load -c 4 -T 1 -n 1000 -q 100", `Queries completed: +3000 \(100`},
		// dnsperf 2.10 takes no reply over HTTPS in several frames, and loses some of several at a time, CoreDNS's too.
		{"dnsperf -m doh -O doh-uri=https://127.0.0.1:PORT-HTTPS/dns-query -s 127.0.0.1 -p PORT-HTTPS -d DIR/small -c 4 -T 1 " +
			"-n 50 -q 1", `Queries completed: +100 \(100`},
	} {
		command := strings.ReplaceAll(s.at(test.command), "QUERY", base64.RawURLEncoding.EncodeToString(q))
		words := strings.Fields(command)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
		cancel()
		if !regexp.MustCompile(test.want).Match(out) {
			t.Errorf("%s: %v, wants %s\n%s", test.command, err, test.want, out[max(0, len(out)-2000):])
		}
	}
}
