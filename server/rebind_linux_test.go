package server

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/listen"
	"github.com/clusterdns/clusterdns/testdata/programs"
)

// TestRebind goes between one address and all of a port, and both, while questions are asked at that address. Another
// instance is refused all the time.
func TestRebind(t *testing.T) {
	block := func(zone string, port uint16, bind string) string {
		return fmt.Sprintf("%s:%d {\n %s\n hosts {\n  192.0.2.8 new.test\n }\n}\n", zone, port, bind)
	}
	port, err := strconv.ParseUint(programs.Free(t), 10, 16) // at every address
	if err != nil {
		t.Fatal(err)
	}
	r := launch(t, block(".", uint16(port), "bind 127.0.0.1"))
	one := r.Addresses()[0]
	all := netip.AddrPortFrom(netip.IPv6Unspecified(), one.Port())
	end := r.interview(t, one, "new.test.")
	for i, step := range []struct {
		bind    string
		answers netip.AddrPort
	}{{"", all}, {"bind 127.0.0.1", one}, {"bind 0.0.0.0", netip.AddrPortFrom(netip.IPv4Unspecified(), one.Port())},
		{"", all}, {"bind 127.0.0.1", one}} {
		old := r.opened[len(r.opened)-1]
		r.reload(t, block(".", one.Port(), step.bind), reloaded)
		<-old.done
		if got := r.Addresses(); len(got) != 1 || got[0] != step.answers {
			t.Errorf("step %d: listens on %v", i, got)
		}
		if got := firstRecord(exchange(t, "tcp", one, "new.test.", dns.TypeA)); got != "3600 A 192.0.2.8" {
			t.Errorf("step %d: %s over TCP", i, got)
		}
		for _, address := range []netip.AddrPort{one, all} {
			if other, err := listen.Open(listen.Options{Address: address}); err == nil {
				other.Close()
				t.Errorf("step %d: another instance has %s", i, address)
			}
		}
	}
	r.reload(t, block(".", one.Port(), "health 192.0.2.1:1"), refused)
	if got := r.Addresses(); len(got) != 1 || got[0] != one {
		t.Errorf("after a reload that failed: listens on %v", got)
	}
	r.reload(t, block(".", one.Port(), "bind 127.0.0.1")+block("other", one.Port(), ""), reloaded)
	if got := r.Addresses(); len(got) != 2 {
		t.Errorf("listens on %v", got)
	}
	if asked := end(); asked < 20 {
		t.Errorf("%d questions are no stream", asked)
	}
}

// TestReloadLimits exchanges the sockets of an address for others with other limits, while questions are asked there.
// Equal limits leave the sockets as they are.
func TestReloadLimits(t *testing.T) {
	block := func(port uint16, limits string) string {
		return fmt.Sprintf(".:%d {\n bind 127.0.0.1\n %s\n hosts {\n  192.0.2.8 new.test\n }\n}\n", port, limits)
	}
	r := launch(t, block(0, ""))
	one := r.Addresses()[0]
	r.reload(t, block(one.Port(), ""), reloaded)
	end := r.interview(t, one, "new.test.")
	asks := func() (answers int) { // on one connection
		conn, err := dns.Dial("tcp", one.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for answers < 3 && conn.WriteMsg(new(dns.Msg).SetQuestion("new.test.", dns.TypeA)) == nil {
			if _, err := conn.ReadMsg(); err != nil {
				break
			}
			answers++
		}
		return answers
	}
	for i, step := range []struct {
		limits   string
		replaced bool
		answers  int
	}{
		{"multisocket 2", true, 3},
		{"timeouts {\n maxtcpqueries 1\n }\n multisocket 2", true, 1},
		{"multisocket 2\n timeouts {\n maxtcpqueries 1\n }", false, 1},
		{"timeouts {\n maxtcpqueries 2\n }", true, 2},
		{"", true, 3},
	} {
		old := r.opened[len(r.opened)-1]
		r.reload(t, block(one.Port(), step.limits), reloaded)
		if step.replaced {
			<-old.done
		}
		if old.ended() != step.replaced || len(r.Addresses()) != 1 || r.Addresses()[0] != one {
			t.Errorf("step %d: replaced %t, listens on %v", i, old.ended(), r.Addresses())
		}
		if n := asks(); n != step.answers {
			t.Errorf("step %d: %d answers", i, n)
		}
	}
	if asked := end(); asked < 20 {
		t.Errorf("%d questions are no stream", asked)
	}
}

// TestRebindEndpoints does so with the admin endpoints. Two directives of one Corefile still cannot have the same port.
func TestRebindEndpoints(t *testing.T) {
	corefile := func(health, ready string) string {
		return ".:0 {\n bind 127.0.0.1\n health " + health + "\n ready " + ready + "\n}\n"
	}
	port := programs.Free(t) // at every address
	r := launch(t, corefile("127.0.0.1:"+port, "127.0.0.1:"+port))
	for _, address := range []string{":" + port, "localhost:" + port, "0.0.0.0:" + port, ":" + port} {
		r.reload(t, corefile(address, address), reloaded)
		for _, path := range []string{"/health", "/ready"} {
			if code, _ := get(t, r.admin, address, path); code != 200 {
				t.Errorf("%s%s is %d", address, path, code)
			}
		}
	}
	r.reload(t, corefile("127.0.0.1:"+port, "0.0.0.0:"+port), refused)
	if want := "has the TCP port: address already in use\n"; !strings.HasSuffix(r.log.String(), want) {
		t.Errorf("the log does not end in %q:\n%s", want, r.log)
	}
	if code, _ := get(t, r.admin, ":"+port, "/health"); code != 200 {
		t.Errorf("after a reload that failed: /health is %d", code)
	}
}
