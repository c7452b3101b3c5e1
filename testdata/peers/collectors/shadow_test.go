package collectors

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/miekg/dns"
)

// metrics is what a server says of itself.
func metrics(t *testing.T, address string) string {
	t.Helper()
	reply, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestShadow: clusterdns compares its answers with those of CoreDNS, by the directive shadow and by the command compare,
// and answers on when CoreDNS is gone.
func TestShadow(t *testing.T) {
	up, first, second, page := upstream(t), process.FreePort(t), process.FreePort(t), "127.0.0.1:"+process.FreePort(t)
	const block = ".:%s {\n bind 127.0.0.1\n hosts {\n  192.0.2.1 same.test\n  %s other.test\n  ttl 1\n  fallthrough\n }\n forward . %s\n%s}\n"
	theirs := start(t, process.CoreDNS, fmt.Sprintf(block, second, "192.0.2.9", up, ""), "127.0.0.1:"+second)
	start(t, process.Clusterdns, fmt.Sprintf(block, first, "192.0.2.2", up,
		" prometheus "+page+"\n shadow 127.0.0.1:"+second+" {\n  sample 100%\n  timeout 300ms\n }\n"), "127.0.0.1:"+first, page)
	question := func(name string, qtype, class uint16) {
		m := new(dns.Msg).SetQuestion(name, qtype)
		m.Question[0].Qclass = class
		ask(t, "udp", "127.0.0.1:"+first, m)
	}
	question("same.test.", dns.TypeA, dns.ClassINET)
	question("same.test.", dns.TypeAAAA, dns.ClassINET)
	question("none.forwarded.test.", dns.TypeA, dns.ClassINET)
	question("long.forwarded.test.", dns.TypeA, dns.ClassINET)
	question("same.test.", dns.TypeANY, dns.ClassINET)
	question("version.bind.", dns.TypeTXT, dns.ClassCHAOS)
	question("other.test.", dns.TypeA, dns.ClassINET)
	counted := func(want ...string) {
		t.Helper()
		await(t, strings.Join(want, "\n"), func() bool {
			text := metrics(t, page)
			for _, line := range want {
				if !strings.Contains(text, "\nclusterdns_shadow_"+line+"\n") {
					return false
				}
			}
			return true
		})
	}
	counted(`answers_total{kind="",result="same"} 3`, `answers_total{kind="size",result="explained"} 1`,
		`answers_total{kind="any",result="explained"} 1`,
		`answers_total{kind="class",result="explained"} 1`, `answers_total{kind="records",result="different"} 1`,
		`duration_seconds_count{server="second"} 7`, `away 0`)

	path, err := process.Clusterdns()
	if err != nil {
		t.Fatal(err)
	}
	compare := exec.Command(path, "compare", "-a", "127.0.0.1:"+second, "-b", "127.0.0.1:"+first, "-o", "json")
	compare.Stdin = strings.NewReader("same.test\nsame.test AAAA\na.forwarded.test\nsame.test ANY\nother.test\n")
	out, err := compare.Output()
	var report struct{ Questions, Same, Explained, Different int }
	if status := compare.ProcessState.ExitCode(); status != 1 || json.Unmarshal(out, &report) != nil {
		t.Fatalf("status %d, %v\n%s", status, err, out)
	}
	if report.Questions != 5 || report.Same != 3 || report.Explained != 1 || report.Different != 1 {
		t.Errorf("%s", out)
	}

	theirs.Stop()
	for range 10 {
		question("same.test.", dns.TypeA, dns.ClassINET)
	}
	counted(`away 1`)
}
