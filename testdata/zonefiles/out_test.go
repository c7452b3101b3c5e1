package zonefiles

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// followers are name servers of other makers as secondaries of ZONES. In the texts PORT is where one listens, and PRIMARY the
// port of the primary.
var followers = map[string]struct {
	command string
	text    string
	zone    string // ZONE is its name
}{
	"knot": {"knotd -c DIR/conf", programs.Knot + `remote:
  - id: primary
    address: 127.0.0.1@PRIMARY
acl:
  - id: all
    address: 127.0.0.1
    action: [notify, transfer]
template:
  - id: default
    storage: "DIR"
    master: primary
    acl: all
zone:
`, "  - domain: ZONE\n"},
	"nsd": {"nsd -d -c DIR/conf", programs.NSD, `zone:
	name: ZONE
	zonefile: ZONE.zone
	allow-notify: 127.0.0.1 NOKEY
	request-xfr: 127.0.0.1@PRIMARY NOKEY
	provide-xfr: 127.0.0.1 NOKEY
`},
}

// TestSecondariesOfOthers: Knot DNS and NSD take zones of file, auto and secondary, and each change after a NOTIFY: the SOA
// records let them wait an hour. A zone of auto that is new is told of as well.
func TestSecondariesOfOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port, first := programs.Free(t), programs.Free(t)
	ports := map[string]string{"knot": programs.Free(t), "nsd": programs.Free(t)}
	zones := []string{"file.example.", "one.auto.example.", "two.auto.example.", "again.example."}
	files := map[string]string{"file.example.": "db.file.example", "one.auto.example.": "auto/db.one.auto.example",
		"two.auto.example.": "auto/db.two.auto.example", "again.example.": "db.again.example"}
	put := func(zone string, serial int, records ...string) {
		name := filepath.Join(dir, files[zone])
		write(t, name+"~", zoneOf(serial, 3600, records...))
		if err := os.Rename(name+"~", name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "auto"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, zone := range zones {
		put(zone, 1, "a 60 IN A 192.0.2.1", "b 60 IN MX 10 a", "*.w 60 IN TXT x", "sub 60 IN NS ns.sub", "ns.sub 60 IN A 192.0.2.2", "d 60 IN DNAME w")
	}
	os.Remove(filepath.Join(dir, files["two.auto.example."]))
	to := fmt.Sprintf("127.0.0.1:%s 127.0.0.1:%s", ports["knot"], ports["nsd"])
	write(t, filepath.Join(dir, "Corefile"), fmt.Sprintf(`.:%[1]s {
	bind 127.0.0.1
	root %[2]s
	file db.file.example file.example {
		reload 50ms
	}
	auto auto.example {
		directory auto
		reload 50ms
	}
	secondary again.example {
		transfer from 127.0.0.1:%[3]s
	}
	transfer file.example auto.example again.example {
		to %[4]s
	}
}
again.example:%[3]s {
	bind 127.0.0.1
	root %[2]s
	file db.again.example {
		reload 50ms
	}
	transfer {
		to 127.0.0.1:%[1]s
	}
}
`, port, dir, first, to))
	programs.Run(t, "clusterdns", []string{clusterdns, "-quiet", "-conf", filepath.Join(dir, "Corefile")})
	for name, f := range followers {
		of := filepath.Join(dir, name)
		if err := os.Mkdir(of, 0o755); err != nil {
			t.Fatal(err)
		}
		text := f.text
		for _, zone := range zones {
			text += strings.ReplaceAll(f.zone, "ZONE", strings.TrimSuffix(zone, "."))
		}
		write(t, filepath.Join(of, "conf"), programs.Fill(text, "DIR", of, "PORT", ports[name], "PRIMARY", port))
		programs.Run(t, name, strings.Fields(programs.Fill(f.command, "DIR", of)))
	}
	follow := func(zone string, serial uint32) {
		t.Helper()
		for _, name := range []string{"knot", "nsd"} {
			programs.Await(t, fmt.Sprint(name, " to have serial ", serial, " of ", zone), func() bool { return serialOf(ports[name], zone) == serial })
			if a, b := contents(t, port, zone), contents(t, ports[name], zone); !slices.Equal(a, b) {
				t.Errorf("%s: %s has\n%s\nand we\n%s", name, zone, strings.Join(b, "\n"), strings.Join(a, "\n"))
			}
		}
	}
	for _, zone := range []string{"file.example.", "one.auto.example.", "again.example."} {
		follow(zone, 1)
		put(zone, 2, "a 60 IN A 192.0.2.9", "*.w 60 IN TXT y")
		follow(zone, 2)
	}
	put("two.auto.example.", 5, "a 60 IN A 192.0.2.9")
	follow("two.auto.example.", 5)
}

// serialOf is that of a zone, 0 without an answer.
func serialOf(port, zone string) uint32 {
	reply, err := dns.Exchange(new(dns.Msg).SetQuestion(zone, dns.TypeSOA), "127.0.0.1:"+port)
	if err != nil || len(reply.Answer) != 1 {
		return 0
	}
	return reply.Answer[0].(*dns.SOA).Serial
}

// TestDigTransfers: dig's AXFR and IXFR, and who may ask for them.
func TestDigTransfers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port := programs.Free(t)
	write(t, filepath.Join(dir, "zone"), zoneOf(7, 3600, "a 60 IN A 192.0.2.1"))
	write(t, filepath.Join(dir, "Corefile"), fmt.Sprintf(`.:%s {
	bind 127.0.0.1
	root %s
	file zone open.example shut.example
	transfer open.example {
		to *
	}
	transfer shut.example {
		to 127.0.0.2
	}
}
`, port, dir))
	programs.Run(t, "clusterdns", []string{clusterdns, "-quiet", "-conf", filepath.Join(dir, "Corefile")})
	programs.Await(t, "the server", func() bool { return serialOf(port, "open.example.") == 7 })
	whole := []string{"SOA 7", "NS", "A", "A", "SOA 7"}
	for _, c := range []struct {
		words string
		want  []string // types of the records in order, with the serial of an SOA
		says  string
	}{
		{"open.example AXFR", whole, ""},
		{"open.example IXFR=6", whole, ""},
		{"open.example IXFR=7", []string{"SOA 7"}, ""},
		{"open.example IXFR=8", []string{"SOA 7"}, ""},
		{"open.example IXFR=6 +notcp", []string{"SOA 7"}, ""},
		{"a.open.example AXFR", nil, "Transfer failed"},
		{"elsewhere.example AXFR", nil, "Transfer failed"},
		{"shut.example AXFR", nil, "Transfer failed"},
		{"shut.example IXFR=1", nil, "Transfer failed"},
		{"-b 127.0.0.2 shut.example AXFR", whole, ""},
		{"-b 127.0.0.2 shut.example IXFR=1", whole, ""},
	} {
		words := append([]string{"@127.0.0.1", "-p", port, "+nocmd", "+nostats", "+noidnout", "+noquestion", "+nocomments"}, strings.Fields(c.words)...)
		output, err := exec.Command("dig", words...).CombinedOutput()
		if err != nil {
			t.Fatalf("dig %s: %v\n%s", c.words, err, output)
		}
		var got []string
		for _, m := range regexp.MustCompile(`(?m)^\S+\s+\d+\s+IN\s+(\S+)\s+(.*)$`).FindAllStringSubmatch(string(output), -1) {
			if m[1] == "SOA" {
				m[1] += " " + strings.Fields(m[2])[2]
			}
			got = append(got, m[1])
		}
		if !slices.Equal(sorted(got), sorted(c.want)) || !strings.Contains(string(output), c.says) {
			t.Errorf("dig %s: got %q, want %q\n%s", c.words, got, c.want, output)
		}
	}
	client := dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}}
	reply, _, err := client.Exchange(new(dns.Msg).SetAxfr("shut.example."), "127.0.0.1:"+port)
	if err != nil || reply.Rcode != dns.RcodeRefused {
		t.Errorf("AXFR over UDP: %v %v", err, reply)
	}
}

// sorted is records of a transfer with those between its SOA records in order.
func sorted(records []string) []string {
	records = slices.Clone(records)
	if len(records) > 2 {
		slices.Sort(records[1 : len(records)-1])
	}
	return records
}
