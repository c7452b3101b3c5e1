package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestMetadataInLog: labels in a format of log, in a block with metadata, in one without, and for names that metadata is
// not for. The lines are those of CoreDNS 1.15.0 for the same Corefile, but that the second block of a zone has none of
// the first one's labels.
func TestMetadataInLog(t *testing.T) {
	upstream := newOutside(t).address.String()
	zone := filepath.Join(t.TempDir(), "zone")
	const records = "$ORIGIN f.test.\n@ 60 IN SOA ns h 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n*.W 60 IN A 192.0.2.2\n" +
		"*.c 60 IN CNAME x.w\nsub 60 IN NS ns.elsewhere.test.\n"
	if err := os.WriteFile(zone, []byte(records), 0o600); err != nil {
		t.Fatal(err)
	}
	const log = " bind 127.0.0.1\n log . \"{name} {/forward/upstream} {/zone/wildcard} {/view/name} {/log/type} {/log/class} " +
		"{/kubernetes/kind} {/no/such} {/}\"\n"
	r := launch(t, "(log) {\n"+log+"}\n.:0 {\n import log\n metadata\n cache\n file "+zone+" f.test\n"+
		" forward outside.test "+upstream+"\n forward dead.test 127.0.0.1:1\n}\n"+
		"zoned.test:0 {\n import log\n metadata in.zoned.test\n view v {\n  expr true\n }\n whoami\n}\n"+
		"two.test:0 {\n import log\n metadata\n view first {\n  expr metadata('view/name') == 'second'\n }\n whoami\n}\n"+
		"two.test:0 {\n import log\n whoami\n}\n")
	names := []string{"a.outside.test.", "a.outside.test.", "dead.test.", "x.w.f.test.", "x.c.f.test.", "ns.f.test.",
		"nx.f.test.", "w.f.test.", "sub.f.test.", "nowhere.", "in.zoned.test.", "zoned.test.", "two.test."}
	for _, name := range names {
		exchange(t, "udp", r.Addresses()[0], name, dns.TypeA)
	}
	r.stop()
	var got []string
	for line := range strings.Lines(r.log.String()) {
		if line, ok := strings.CutPrefix(strings.TrimSpace(line), "[INFO] "); ok && strings.Contains(line, ". ") {
			got = append(got, line)
		}
	}
	want := []string{
		"a.outside.test. " + upstream + " - - NOERROR success - - -",
		"a.outside.test. - - - NOERROR success - - -",
		"dead.test. 127.0.0.1:1 - - SERVERERROR error - - -",
		"x.w.f.test. - *.w.f.test. - NOERROR success - - -",
		"x.c.f.test. - *.c.f.test. - NOERROR success - - -",
		"ns.f.test. - - - NOERROR success - - -",
		"nx.f.test. - - - NXDOMAIN denial - - -",
		"w.f.test. - - - NODATA denial - - -",
		"sub.f.test. - - - DELEGATION success - - -",
		"nowhere. - - - OTHERERROR error - - -", // REFUSED
		"in.zoned.test. - - v NOERROR success - - -",
		"zoned.test. - - - NOERROR success - - -",
		"two.test. - - - - - - - -",
	}
	slices.Sort(got) // readers of UDP are several
	slices.Sort(want)
	if got, want := strings.Join(got, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s\nof\n%s", got, want, r.log)
	}
}
