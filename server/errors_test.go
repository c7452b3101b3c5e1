package server

import (
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/config"
)

// failuresShown is how many failures of a block are logged one by one in a second.
const failuresShown = 10

// The failures of a whole program: a flood is bounded, and what its block still has to say at the end, or when a reload
// replaces it, is said.
func TestFailuresOfProgram(t *testing.T) {
	const corefile = ".:0 {\n bind 127.0.0.1\n errors {\n  consolidate 5m ^upstream.127.0.0.2:1.\n }\n" +
		" forward lost.test 127.0.0.2:1 {\n  health_check 0s\n }\n forward . 127.0.0.1:1 {\n  health_check 0s\n }\n}\n"
	const pending = "[ERROR] plugin/errors: 3 errors like '^upstream.127.0.0.2:1.' occurred in last 5m0s"
	r := launch(t, corefile)
	ask := func(times int, name string) {
		for range times {
			if reply := exchange(t, "udp", r.Addresses()[0], name, dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
				t.Fatal(reply)
			}
		}
	}
	ask(3, "lost.test.")
	ask(10*failuresShown, "flood.test.")
	r.reload(t, corefile+"# another\n", reloaded)
	ask(3, "lost.test.")
	r.stop()
	if n := r.said(pending); n != 2 {
		t.Errorf("said %d times, want once for each configuration: %s\n%s", n, pending, r.log)
	}
	if n := r.said("flood.test"); n == 0 || n >= 10*failuresShown || !strings.Contains(r.log.String(),
		"more errors occurred in last 1s") {
		t.Errorf("%d lines of a flood of %d", n, 10*failuresShown)
	}
}

// Patterns of `consolidate` that are written for CoreDNS's texts match, and the line at the end of the period comes.
func TestPatternsOfCoreDNS(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r := launch(t, ".:0 {\n bind 127.0.0.1\n errors {\n  consolidate 5m \".* i/o timeout$\" warning\n"+
		"  consolidate 5m \".*connection refused$\" info show_first\n }\n forward late.test "+silent.LocalAddr().String()+
		" {\n  read_timeout 1ms\n }\n forward . 127.0.0.1:1\n}\n")
	exchange(t, "udp", r.Addresses()[0], "a.late.test.", dns.TypeA)
	exchange(t, "udp", r.Addresses()[0], "b.late.test.", dns.TypeA)
	exchange(t, "udp", r.Addresses()[0], "a.test.", dns.TypeA)
	exchange(t, "tcp", r.Addresses()[0], "b.test.", dns.TypeA)
	r.stop()
	for _, line := range []string{
		"[WARNING] plugin/errors: 2 errors like '.* i/o timeout$' occurred in last 5m0s\n",
		"nothing listens there (1 upstreams, 2 attempts): connection refused\n",
		"[INFO] plugin/errors: 2 errors like '.*connection refused$' occurred in last 5m0s\n",
	} {
		if r.said(line) != 1 {
			t.Errorf("not said once: %q:\n%s", line, r.log)
		}
	}
}

// TestFailuresOfTemplates: a text, an expression and a rewritten name that fail are logged as CoreDNS's lines are, and patterns take them.
// stacktrace is for the listener.
func TestFailuresOfTemplates(t *testing.T) {
	r := launch(t, ".:0 {\n bind 127.0.0.1\n errors {\n  stacktrace\n  consolidate 5m \"^template: .*out of range\" warning\n }\n"+
		" template IN A a.test {\n  answer \"{{ .Name }} 60 IN A {{ index .Match 5 }}\"\n }\n"+
		" template IN A b.test {\n  answer \"{{ .Name }} 60 IN A 300.0.0.1\"\n }\n"+
		" template IN A c.test {\n  var x int(name())\n  answer \"{{ .Name }} 60 IN A 192.0.2.1\"\n }\n"+
		" rewrite name regex ^x\\.e\\.test\\.$ a..b\n"+
		" template IN A d.test {\n  additional \"{{ .Name.None }}\"\n }\n}\n")
	for _, name := range []string{"x.a.test.", "y.a.test.", "x.b.test.", "x.c.test.", "x.d.test.", "x.e.test."} {
		if reply := exchange(t, "udp", r.Addresses()[0], name, dns.TypeA); reply.Rcode != dns.RcodeServerFailure {
			t.Errorf("%s: %v", name, reply)
		}
	}
	r.stop()
	for _, line := range []string{
		"[WARNING] plugin/errors: 2 errors like '^template: .*out of range' occurred in last 5m0s\n",
		"[ERROR] plugin/errors: 2 x.b.test. A: dns: bad A A: \"300.0.0.1\" at line: 1:27\n",
		"[ERROR] plugin/errors: 2 x.c.test. A: template: int(name()): ",
		"[ERROR] plugin/errors: 2 x.e.test. A: invalid name after rewrite: a..b.\n",
		"[ERROR] plugin/errors: 2 x.d.test. A: template: additional:1:8: executing \"additional\" at <.Name.None>: ",
	} {
		if r.said(line) != 1 {
			t.Errorf("not said once: %q:\n%s", line, r.log)
		}
	}
}

// TestStacktraceOfErrors: the option reaches the listener.
func TestStacktraceOfErrors(t *testing.T) {
	for text, want := range map[string]bool{"errors": false, "errors {\n stacktrace\n}": true, "whoami": false} {
		c, err := config.Parse("Corefile", []byte(".:0 {\n"+text+"\n}\n"), config.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		if got := new(generation).blocksOf(&c.Listeners[0])[0].Traced; got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
