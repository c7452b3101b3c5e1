package validators

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

const (
	signedZone = `$TTL 300
@      3600 IN SOA ns1 admin 1 3600 600 86400 300
       IN NS ns1
       IN MX 10 mail
ns1    IN A 192.0.2.53
www    IN A 192.0.2.1
       IN A 192.0.2.2
       IN AAAA 2001:db8::1
alias  IN CNAME www
far    IN CNAME alias
lost   IN CNAME nothere
bare   IN CNAME mail
mail   IN MX 10 www
odd    IN PTR www
*.wild IN TXT "wild"
*.only IN CNAME www
a.b.c  IN A 192.0.2.3
dn     IN DNAME new
x.new  IN A 192.0.2.9
_s._tcp IN SRV 0 0 80 www
naptr  IN NAPTR 100 10 "U" "E2U+sip" "" NAPTR.Example.ORG.
*abc   IN A 192.0.2.77
svc    IN HTTPS 1 . alpn="h2"
caa    IN CAA 0 issue "ca.test"
raw    IN TYPE65280 \# 4 0A000001
text   IN TXT "a" "b" "c"
sub    IN NS ns.sub
ns.sub IN A 127.0.0.1
fake   IN NS ns.sub
       IN DS 12345 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF
`
	subZone = `@ 300 IN SOA ns admin 1 3600 600 86400 300
@ 300 IN NS ns
ns 300 IN A 127.0.0.1
www 300 IN A 192.0.2.4
`
)

// keySet is keys of one zone that sign together.
type keySet struct {
	name string
	zone string
	make [][]string // arguments of dnssec-keygen

	files  []string
	anchor string // a file that delv reads
	key    string // the DNSKEY record of the anchor
	port   string
}

// keySets is one of each kind.
func keySets() []*keySet {
	example := func(name string, keys ...[]string) *keySet {
		return &keySet{name: name, zone: "example.org", make: keys}
	}
	return []*keySet{
		example("P-256", []string{"-a", "ECDSAP256SHA256"}),
		example("P-384", []string{"-a", "ECDSAP384SHA384"}),
		example("Ed25519", []string{"-a", "ED25519"}),
		example("RSA with SHA-256", []string{"-a", "RSASHA256", "-b", "2048"}),
		example("RSA with SHA-512", []string{"-a", "RSASHA512", "-b", "2048"}),
		example("KSK and ZSK", []string{"-a", "ECDSAP256SHA256", "-f", "KSK"}, []string{"-a", "ECDSAP256SHA256"}),
		example("two that sign all", []string{"-a", "ED25519", "-f", "KSK"}, []string{"-a", "ECDSAP256SHA256", "-f", "KSK"}),
		{name: "cluster", zone: "cluster.local", make: [][]string{{"-a", "ECDSAP256SHA256"}}},
		{name: "reverse", zone: "10.in-addr.arpa", make: [][]string{{"-a", "ECDSAP256SHA256"}}},
	}
}

// generate makes the keys.
func (k *keySet) generate(t *testing.T, dir string) {
	t.Helper()
	for i, words := range k.make {
		out, err := exec.Command("dnssec-keygen", append(append([]string{"-q", "-K", dir}, words...), k.zone)...).Output()
		if err != nil {
			t.Fatalf("dnssec-keygen: %v", err)
		}
		file := filepath.Join(dir, strings.TrimSpace(string(out)))
		k.files = append(k.files, file)
		if i > 0 {
			continue
		}
		content, err := os.ReadFile(file + ".key")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if !strings.HasPrefix(line, ";") {
				k.key = strings.TrimSpace(line)
			}
		}
		f := strings.Fields(k.key)
		k.anchor = file + ".anchor"
		write(t, k.anchor, fmt.Sprintf("trust-anchors { %q static-key %s %s %s %q; };\n", k.zone+".", f[3], f[4], f[5],
			strings.Join(f[6:], "")))
	}
	k.port = programs.Free(t)
}

// start runs a server that has a block for each set of keys, and one without keys.
func start(t *testing.T, dir string, sets []*keySet) (sub string) {
	t.Helper()
	write(t, filepath.Join(dir, "db.example.org"), signedZone)
	write(t, filepath.Join(dir, "db.sub"), subZone)
	cluster, err := filepath.Abs("../cluster")
	if err != nil {
		t.Fatal(err)
	}
	var corefile strings.Builder
	for _, k := range sets {
		k.generate(t, dir)
		fmt.Fprintf(&corefile, `%s:%s {
	bind 127.0.0.1
	dnssec {
		key file %s
	}
	kubernetes cluster.local 10.in-addr.arpa {
		manifests %s
	}
	rewrite name old.example.org www.example.org
	hosts {
		192.0.2.88 host.example.org
		fallthrough
	}
	template IN TXT made.example.org {
		answer "{{ .Name }} 60 IN TXT {{ .Name }}"
	}
	template IN AAAA made.example.org {
		rcode NXDOMAIN
		authority "example.org. 60 IN SOA ns1.example.org. admin.example.org. 1 2 3 4 60"
	}
	file %s/db.example.org example.org
}
`, k.zone, k.port, strings.Join(k.files, " "), cluster, dir)
	}
	sub = programs.Free(t)
	fmt.Fprintf(&corefile, "sub.example.org:%s fake.example.org:%s {\n\tbind 127.0.0.1\n\tfile %s/db.sub\n}\n", sub, sub, dir)
	write(t, filepath.Join(dir, "Corefile"), corefile.String())
	binary, err := programs.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	programs.Run(t, "clusterdns", []string{binary, "-quiet", "-conf", filepath.Join(dir, "Corefile")})
	programs.Await(t, "answers", func() bool { return answers(sub, "www.sub.example.org.") })
	return sub
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
