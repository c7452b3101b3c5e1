package collectors

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/dnstap/golang-dnstap"
	"github.com/miekg/dns"
)

// TestDnstapTransports: a request over HTTPS is told of as one over TCP, as CoreDNS does, and of a transfer each message
// is.
func TestDnstapTransports(t *testing.T) {
	cert, key, _ := certificate(t)
	zone := filepath.Join(t.TempDir(), "db.zone.test")
	records := "zone.test. 60 IN SOA ns.zone.test. admin.zone.test. 1 60 60 60 60\nzone.test. 60 IN NS ns.zone.test.\nns.zone.test. 60 IN A 203.0.113.1\n"
	for i := range 3000 {
		records += fmt.Sprintf("a%d.zone.test. 60 IN TXT \"record %d of a zone that takes several messages\"\n", i, i)
	}
	if err := os.WriteFile(zone, []byte(records), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, plain, web := reader(t, l), process.FreePort(t), process.FreePort(t)
	block := `{
    bind 127.0.0.1
    dnstap tcp://` + l.Addr().String() + ` full
    tls ` + cert + ` ` + key + `
    file ` + zone + ` zone.test
    transfer zone.test {
        to *
    }
}
`
	start(t, process.Clusterdns, ".:"+plain+" "+block+"https://.:"+web+" "+block, "127.0.0.1:"+plain, "127.0.0.1:"+web)
	query := new(dns.Msg).SetQuestion("ns.zone.test.", dns.TypeA)
	packed, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: anyCertificate, ForceAttemptHTTP2: true}}
	response, err := client.Post("https://127.0.0.1:"+web+"/dns-query", "application/dns-message", bytes.NewReader(packed))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	response.Body.Close()
	for i, m := range r.wait(t, 2) {
		want := []dnstap.Message_Type{dnstap.Message_CLIENT_QUERY, dnstap.Message_CLIENT_RESPONSE}[i]
		if m.Message.GetType() != want || m.Message.GetSocketProtocol() != dnstap.SocketProtocol_TCP {
			t.Errorf("%v", m)
		}
		if i == 0 && !bytes.Equal(m.Message.QueryMessage, packed) {
			t.Errorf("the query is % x and was % x", m.Message.QueryMessage, packed)
		}
	}
	transfer := new(dns.Transfer)
	envelopes, err := transfer.In(new(dns.Msg).SetAxfr("zone.test."), "127.0.0.1:"+plain)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for e := range envelopes {
		if e.Error != nil {
			t.Fatal(e.Error)
		}
		got++
	}
	all := r.wait(t, 2+1+got)[3:]
	if len(all) != got || got < 2 {
		t.Errorf("%d messages are told of, and %d have come", len(all), got)
	}
	for _, m := range all {
		if m.Message.GetType() != dnstap.Message_CLIENT_RESPONSE || len(m.Message.ResponseMessage) < 100 {
			t.Errorf("%v", m.Message.GetType())
		}
	}
}
