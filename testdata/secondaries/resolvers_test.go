package secondaries

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// resolvers ask the server for one label more at a time, and believe that nothing is below NXDOMAIN (RFC 9156, RFC 8020).
var resolvers = map[string]maker{
	"unbound": {
		command: []string{"unbound", "-d", "-c", "DIR/conf"}, file: "conf",
		text: `server:
	directory: "DIR"
	chroot: ""
	username: ""
	pidfile: "DIR/pid"
	interface: 127.0.0.1@PORT
	port: PORT
	use-syslog: no
	do-ip6: no
	do-not-query-localhost: no
	module-config: "iterator"
	qname-minimisation: yes
	qname-minimisation-strict: yes
	harden-below-nxdomain: yes
	local-zone: "10.in-addr.arpa." nodefault
	local-zone: "d.f.ip6.arpa." nodefault
stub-zone:
	name: "in-addr.arpa"
	stub-addr: SERVER@PRIMARY
stub-zone:
	name: "ip6.arpa"
	stub-addr: SERVER@PRIMARY
stub-zone:
	name: "cluster.local"
	stub-addr: SERVER@PRIMARY
`,
	},
	"bind": {
		command: []string{"named", "-g", "-c", "DIR/conf"}, file: "conf",
		text: `options {
	directory "DIR"; pid-file "DIR/pid"; session-keyfile "DIR/key"; managed-keys-directory "DIR";
	listen-on port PORT { 127.0.0.1; }; listen-on-v6 { none; };
	recursion yes; qname-minimization strict; dnssec-validation no; empty-zones-enable no;
};
controls { };
zone "in-addr.arpa" { type static-stub; server-addresses { SERVER; }; };
zone "ip6.arpa" { type static-stub; server-addresses { SERVER; }; };
zone "cluster.local" { type static-stub; server-addresses { SERVER; }; };
`,
	},
}

// resolved is a primary whose reverse zones are whole, and one that has an upstream which denies all: itself, in the
// second block.
var resolved = map[string]string{
	"without fallthrough": `.:PORT {
	bind SERVER
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		manifests FOLDER
		pods insecure
	}
}
`,
	"with fallthrough": `.:PORT {
	bind SERVER
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		manifests FOLDER
		pods insecure
		fallthrough in-addr.arpa ip6.arpa
	}
	forward . 127.0.0.1:OTHER
}
.:OTHER {
	bind 127.0.0.1
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		manifests EMPTY
	}
}
`,
}

// TestStrictMinimisation: resolvers that minimise strictly find every kind of name.
func TestStrictMinimisation(t *testing.T) {
	folder := t.TempDir()
	text := "apiVersion: v1\nkind: Service\nmetadata: {namespace: prod, name: web}\n" +
		"spec: {ipFamilyPolicy: RequireDualStack, clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20, \"fd00:10:96::20\"], ports: [{name: http, port: 80}]}\n"
	if err := os.WriteFile(filepath.Join(folder, "web.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	binary := server(t)
	for what, corefile := range resolved {
		host, port := "127.0.0.1", programs.Free(t)
		if slices.Contains(among(resolvers), "bind") {
			host, port = "127.53.0.1", "53" // BIND asks zones of type static-stub at port 53 alone; this needs root
		}
		file := filepath.Join(t.TempDir(), "Corefile")
		fill := strings.NewReplacer("PORT", port, "SERVER", host, "FOLDER", folder, "EMPTY", t.TempDir(), "OTHER", programs.Free(t))
		if err := os.WriteFile(file, []byte(fill.Replace(corefile)), 0o644); err != nil {
			t.Fatal(err)
		}
		primary := host + ":" + port
		stop := programs.Run(t, "clusterdns", []string{binary, "-quiet", "-conf", file})
		programs.Await(t, "the server", func() bool { return answered(primary, "web.prod.svc.cluster.local.") })
		for _, name := range among(resolvers) {
			at := programs.Free(t)
			resolvers[name].start(t, fmt.Sprint(name, "-", at), at, primary)
			programs.Await(t, name, func() bool { return answered(at, "web.prod.svc.cluster.local.") })
			for question, qtype := range map[string]uint16{
				"20.0.96.10.in-addr.arpa.": dns.TypePTR,
				"0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa.": dns.TypePTR,
				"_http._tcp.web.prod.svc.cluster.local.":                                    dns.TypeSRV,
				"10-1-2-3.prod.pod.cluster.local.":                                          dns.TypeA,
				"ns.dns.cluster.local.":                                                     dns.TypeA,
			} {
				if reply := exchange(at, question, qtype); len(reply.Answer) == 0 {
					t.Errorf("%s, %s: %s %s: %s", what, name, question, dns.TypeToString[qtype], dns.RcodeToString[reply.Rcode])
				}
			}
		}
		stop()
	}
}

// among are those of -with that a list has.
func among(list map[string]maker) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if slices.Contains(strings.Split(*withFlag, ","), name) {
			names = append(names, name)
		}
	}
	return names
}
