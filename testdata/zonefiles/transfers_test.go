package zonefiles

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// primary is a name server of another maker that has example.org. In its texts PORT is where it listens, SECONDARY the port
// of the secondary, and DIR is a folder of its own with the file of the zone.
type primary struct {
	command string
	text    string
}

var primaries = map[string]primary{
	"knot": {"knotd -c DIR/conf", programs.Knot + `remote:
  - id: secondary
    address: 127.0.0.1@SECONDARY
acl:
  - id: transfer
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.org
    file: "DIR/zone"
    zonefile-load: difference
    zonefile-sync: -1
    notify: secondary
    acl: transfer
`},
	"nsd": {"nsd -d -c DIR/conf", programs.NSD + `zone:
	name: example.org
	zonefile: zone
	store-ixfr: yes
	create-ixfr: yes
	notify: 127.0.0.1@SECONDARY NOKEY
	provide-xfr: 127.0.0.1 NOKEY
`},
}

// zoneOf is the file of a zone whose secondaries ask again after so many seconds, and forget it after 4.
func zoneOf(serial, refresh int, records ...string) string {
	return fmt.Sprintf("@ 60 IN SOA ns host %d %d 1 4 60\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n%s\n", serial, refresh, strings.Join(records, "\n"))
}

// TestSecondary: a zone of Knot DNS and of NSD comes here by AXFR, its changes by IXFR after a NOTIFY, or after REFRESH; it goes
// at its EXPIRE, and comes back with the primary.
func TestSecondary(t *testing.T) {
	for name, maker := range primaries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSecondary(t)
			s.await("SERVFAIL before there is a primary", func() bool { return s.says("SERVFAIL", "has not been transferred") })
			p := s.primary(maker)
			const quiet = 3600 // of REFRESH: then only a NOTIFY makes the secondary ask
			p.write(zoneOf(1, quiet, "a 60 IN A 192.0.2.1", "*.w 60 IN TXT x", "sub 60 IN NS ns.sub", "ns.sub 60 IN A 192.0.2.3"))
			p.start(t, name)
			s.awaitSerial(1)
			s.same(p.port)

			p.write(zoneOf(2, quiet, "b 60 IN A 192.0.2.2", "*.w 60 IN TXT y", "sub 60 IN NS ns.sub", "ns.sub 60 IN A 192.0.2.3"))
			p.Signal(syscall.SIGHUP)
			s.awaitSerial(2)
			s.same(p.port)
			if s.metric("notifies_total", `from="primary"`) < 1 {
				t.Error("without a NOTIFY")
			}
			if n := s.metric("transfers_total", `kind="IXFR"`); n != 1 {
				t.Errorf("%v transfers are IXFR", n)
			}
			s.strangers(p)

			p.Stop()
			p.write(zoneOf(5, 1, "c 60 IN A 192.0.2.2"))
			p.start(t, name)
			s.awaitSerial(5) // it notifies at its start
			s.same(p.port)

			p.Stop()
			s.await("EXPIRE", func() bool { return s.says("SERVFAIL", "has expired") })
			if s.metric("expired_total") != 1 || s.metric("failures_total") < 2 {
				t.Error("it is not counted")
			}
			p.secondary = programs.Free(t) // nobody is there: from now on no NOTIFY arrives
			notifies := s.metric("notifies_total")
			p.start(t, name)
			s.awaitSerial(5)
			p.write(zoneOf(6, quiet))
			p.Signal(syscall.SIGHUP)
			s.awaitSerial(6)
			s.same(p.port)
			if s.metric("notifies_total") != notifies {
				t.Error("by a NOTIFY, not by REFRESH")
			}
		})
	}
}

// secondaryServer is a server of ours that has example.org from a primary at the port from.
type secondaryServer struct {
	t                   *testing.T
	port, metrics, from string
}

func startSecondary(t *testing.T) *secondaryServer {
	s := &secondaryServer{t: t, port: programs.Free(t), metrics: programs.Free(t), from: programs.Free(t)}
	file := filepath.Join(t.TempDir(), "Corefile")
	write(t, file, fmt.Sprintf(`example.org:%s {
	bind 127.0.0.1
	secondary {
		transfer from 127.0.0.1:%s
	}
	transfer {
		to *
	}
	prometheus 127.0.0.1:%s
}
`, s.port, s.from, s.metrics))
	programs.Run(t, "clusterdns", []string{clusterdns, "-quiet", "-conf", file})
	return s
}

func (s *secondaryServer) await(what string, ok func() bool) {
	s.t.Helper()
	programs.Await(s.t, what, ok)
}

func (s *secondaryServer) awaitSerial(serial uint32) {
	s.t.Helper()
	s.await(fmt.Sprint("serial ", serial), func() bool { return serialOf(s.port, "example.org.") == serial })
}

// says reports whether the answer for the zone has an rcode and an Extended DNS Error with words.
func (s *secondaryServer) says(rcode, words string) bool {
	query := new(dns.Msg).SetQuestion("example.org.", dns.TypeSOA)
	query.SetEdns0(1232, false)
	reply, err := dns.Exchange(query, "127.0.0.1:"+s.port)
	if err != nil || dns.RcodeToString[reply.Rcode] != rcode {
		return false
	}
	a := read(reply)
	return len(a.reasons) == 1 && strings.Contains(a.reasons[0], words)
}

// same holds the zone of the primary and ours, which is transferred out again, against each other.
func (s *secondaryServer) same(primary string) {
	s.t.Helper()
	if a, b := contents(s.t, s.port, "example.org."), contents(s.t, primary, "example.org."); !slices.Equal(a, b) {
		s.t.Errorf("the zone is\n%s\nat the primary\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}

// metric is a metric of secondaries or of zones, of those with the label if there is one.
func (s *secondaryServer) metric(name string, label ...string) (sum float64) {
	s.t.Helper()
	reply, err := http.Get("http://127.0.0.1:" + s.metrics + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		of := strings.HasPrefix(line, "clusterdns_secondary_"+name+"{") || strings.HasPrefix(line, "clusterdns_zone_"+name+"{")
		if of && strings.Contains(line, strings.Join(label, "")) {
			var value float64
			fmt.Sscan(line[strings.LastIndex(line, " "):], &value)
			sum += value
		}
	}
	return sum
}

// strangers send NOTIFYs, which are refused, counted, and make the secondary ask nobody.
func (s *secondaryServer) strangers(p *primaryServer) {
	s.t.Helper()
	checks := s.metric("checks_total")
	for _, zone := range []string{"example.org.", "a.example.org.", "example.net."} {
		dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		client := dns.Client{Dialer: &dialer}
		reply, _, err := client.Exchange(new(dns.Msg).SetNotify(zone), "127.0.0.1:"+s.port)
		want := dns.RcodeNotAuth
		if zone == "example.org." {
			want = dns.RcodeRefused
		}
		if err != nil || reply.Rcode != want {
			s.t.Errorf("NOTIFY of a stranger for %s: %v %v", zone, err, reply)
		}
	}
	if n := s.metric("notifies_total", `from="other"`); n != 1 {
		s.t.Errorf("%v NOTIFYs of strangers", n)
	}
	if after := s.metric("checks_total"); after != checks {
		s.t.Errorf("%v questions for the serial, %v before", after, checks)
	}
}

// primaryServer is a primary that can be stopped and started.
type primaryServer struct {
	maker     primary
	dir, port string
	secondary string
	*programs.Program
}

// primary is the primary of the secondary. It does not run yet.
func (s *secondaryServer) primary(maker primary) *primaryServer {
	return &primaryServer{maker: maker, dir: s.t.TempDir(), port: s.from, secondary: s.port}
}

func (p *primaryServer) write(text string) {
	name := filepath.Join(p.dir, "zone")
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		panic(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		panic(err)
	}
}

func (p *primaryServer) start(t *testing.T, name string) {
	t.Helper()
	write(t, filepath.Join(p.dir, "conf"), programs.Fill(p.maker.text, "DIR", p.dir, "PORT", p.port, "SECONDARY", p.secondary))
	p.Program = programs.Start(t, name, strings.Fields(programs.Fill(p.maker.command, "DIR", p.dir)))
}
