package differ

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// combinations is how many Corefiles are put together of snippets.
const combinations = 64

// snippet is one directive in the forms that it is tried in, and names that it has something to say about.
type snippet struct {
	forms []string
	names []string
}

// snippets are what combinations are made of. FOLDER has the files of snippetFiles.
var snippets = []snippet{
	{[]string{"cache 30", "cache 3600", "cache {\n success 9984 30\n denial 9984 5\n }",
		"cache 30 {\n disable success cluster.local\n disable denial cluster.local\n }", "cache 60 b.test", "cache 30 {\n servfail 0\n }"}, nil},
	{[]string{"loadbalance", "loadbalance round_robin", "loadbalance {\n prefer 192.0.2.128/25 192.0.2.0/24\n }"},
		[]string{"big.b.test.", "some.b.test."}},
	{[]string{"bufsize 1232", "bufsize 600", "bufsize"}, []string{"big.b.test.", "some.b.test."}},
	{[]string{"rewrite name exact a.test b.test", "rewrite name www.a.test www.b.test", "rewrite stop name exact v4.a.test v4.b.test"},
		[]string{"a.test.", "www.a.test.", "v4.a.test."}},
	{[]string{"rewrite name suffix .a.test .b.test answer auto",
		"rewrite stop {\n name regex (.*)\\.a\\.test {1}.b.test\n answer name (.*)\\.b\\.test {1}.a.test\n answer value (.*)\\.b\\.test {1}.a.test\n }"},
		[]string{"www.a.test.", "chain.a.test.", "_http._tcp.a.test.", "fail.a.test.", "nowhere.a.test."}},
	{[]string{"rewrite stop type AAAA A"}, []string{"v4.b.test.", "four.b.test.", "www.example.com."}},
	{[]string{"rewrite ttl exact www.b.test. 60"},
		[]string{"www.b.test.", "chain.b.test.", "bare.b.test."}},
	{[]string{"rewrite rcode exact nowhere.b.test. NXDOMAIN NOERROR", "rewrite rcode suffix b.test. SERVFAIL NXDOMAIN"},
		[]string{"nowhere.b.test.", "fail.b.test."}},
	{[]string{"template IN A lan {\n match ^.+\\.lan\\.$\n answer \"{{ .Name }} 60 IN A 192.0.2.8\"\n fallthrough\n }",
		"template ANY ANY lan {\n rcode NXDOMAIN\n }", "template IN AAAA lan {\n match one[.]lan[.]$\n fallthrough\n }",
		"template IN ANY lan {\n answer \"{{ .Name }} 60 IN CNAME www.example.com.\"\n }",
		"template IN A lan {\n match ^(\\d+)-(\\d+)\\.lan\\.$\n answer \"{{ .Name }} 60 IN A 192.0.{{ index .Match 1 }}.{{ index .Match 2 }}\"\n }"},
		[]string{"one.lan.", "lan.", "x.one.lan.", "2-8.lan.", "2-800.lan."}},
	{[]string{"template ANY AAAA lan {\n rcode NOERROR\n authority \"{{ .Zone }} 60 IN SOA ns.dns.test. hostmaster.dns.test. (1 60 60 60 60)\"\n }"},
		[]string{"one.lan.", "lan."}},
	{[]string{"hosts FOLDER/hosts {\n fallthrough\n }", "hosts FOLDER/hosts test {\n 10.1.0.9 inline.test\n ttl 60\n no_reverse\n fallthrough\n }"},
		[]string{"node.test.", "inline.test.", "8.0.1.10.in-addr.arpa.", "x.wild.test."}},
	{[]string{"autopath FOLDER/search.conf"}, []string{"www.one.test.", "web.one.test.", "v4.one.test.", "www.b.test.one.test.", "one.test."}},
	{[]string{"acl {\n block type MX\n allow net 127.0.0.0/8\n }", "acl b.test {\n filter type AAAA\n }"}, []string{"b.test.", "v6.b.test."}},
	{[]string{"dns64"}, []string{"v4.b.test.", "four.b.test.", "v4.local.test.", "emptysix.b.test."}}, // for clients over IPv6, which these are not: TestSameSteps has the rest
	{[]string{"minimal"}, []string{"b.test.", "sub.b.test.", "_http._tcp.b.test."}},
	{[]string{"any"}, nil},
	{[]string{"nsid one"}, nil},
	{[]string{"local"}, []string{"localhost.", "x.localhost.", "localhost.b.test.", "1.0.0.127.in-addr.arpa.", "0.in-addr.arpa."}},
	{[]string{"file FOLDER/zone file.test", "file FOLDER/zone file.test {\n fallthrough\n }"},
		[]string{"file.test.", "www.file.test.", "web.file.test.", "x.wild.file.test.", "sub.file.test.", "a.b.file.test.", "b.file.test.",
			"none.file.test.", "away.file.test.", "mail.file.test."}},
	{[]string{"k8s_external ext.test", "k8s_external ext.test {\n ttl 33\n headless\n }"},
		[]string{"ext.test.", "ns1.dns.ext.test.", "default.ext.test.", "kubernetes.default.ext.test."}},
	{[]string{"log . {\n class error\n }", "log", "errors {\n consolidate 5m \".*\" warning\n }"}, nil},
}

// snippetFiles are the files that snippets name.
var snippetFiles = map[string]string{
	"hosts":       "10.1.0.8 node.test\nfd00::8 node.test\n10.1.0.7 *.wild.test\n",
	"search.conf": "search one.test b.test\n",
	"zone": `$TTL 300
@ IN SOA ns host 7 7200 1800 86400 60
@ IN NS ns
@ IN MX 10 mail
ns IN A 192.0.2.53
mail IN A 192.0.2.25
www IN CNAME web
web IN A 192.0.2.80
web IN AAAA 2001:db8::80
away IN CNAME www.example.com.
*.wild IN A 192.0.2.90
a.b IN TXT "text"
sub IN NS ns.sub
ns.sub IN A 192.0.2.91
`,
}

// combined are Corefiles put together of snippets: a number decides which, and in which form and order. Each has an
// upstream of its own, whose socket has room for what two servers ask.
func combined(t *testing.T, kubeconfig string) (list []wholeFile) {
	folder := t.TempDir()
	for name, text := range snippetFiles {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range combinations {
		w, upstream := &world{Rand: rand.New(rand.NewPCG(uint64(i), 8))}, startUpstream(t, corefileUpstream())
		file := wholeFile{name: fmt.Sprintf("combination-%02d", i)}
		lines := []string{"errors", "ready READY", "forward . " + upstream}
		if w.chance(60) {
			lines = append(lines, fmt.Sprintf("kubernetes cluster.local in-addr.arpa ip6.arpa {\n kubeconfig %s\n pods insecure\n ttl %d\n fallthrough in-addr.arpa ip6.arpa\n }",
				kubeconfig, pick(w, []int{5, 30})))
		}
		for _, n := range w.Perm(len(snippets))[:2+w.IntN(6)] {
			s := snippets[n]
			form := pick(w, s.forms)
			if strings.HasPrefix(form, "errors") {
				lines = lines[1:]
			}
			if strings.HasPrefix(form, "k8s_external") && !strings.Contains(strings.Join(lines, ""), "kubernetes ") {
				continue
			}
			lines, file.names = append(lines, form), append(file.names, s.names...)
		}
		w.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		text := strings.ReplaceAll(". {\n\t"+strings.Join(lines, "\n\t")+"\n}\n", "FOLDER", folder)
		if !strings.Contains(text, "\tkubernetes ") { // there is a zone to be asked for at the start
			text += "cluster.local {\n\tforward . " + upstream + "\n}\n"
		}
		file.text = text
		list = append(list, file)
	}
	return list
}
