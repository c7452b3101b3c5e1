package e2e

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// forwardCorefile has an upstream that nobody asks here: recursion is offered,
// as in every Corefile of a cluster.
const forwardCorefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	prometheus METRICS
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig KUBECONFIG
	}
	forward . 127.0.0.1:9
}
`

// dig runs dig and returns what it prints.
func (s *server) dig(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("dig")
	if err != nil {
		t.Fatalf("%v: it is in Debian's bind9-dnsutils", err)
	}
	host, port, _ := strings.Cut(s.address, ":")
	args = append([]string{"@" + host, "-p", port, "+tries=1", "+timeout=5"}, args...)
	output, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

// The parts of dig's output.
var (
	digHeader = regexp.MustCompile(`status: (\w+),.*\n;; flags: ([a-z ]+);`)
	digSize   = regexp.MustCompile(`;; MSG SIZE  rcvd: (\d+)`)
)

// status is "RCODE FLAGS" as dig prints them.
func status(t *testing.T, output string) string {
	t.Helper()
	header := digHeader.FindStringSubmatch(output)
	if header == nil {
		t.Fatalf("no header in\n%s", output)
	}
	return header[1] + " " + header[2]
}

// size is how many octets dig received.
func size(t *testing.T, output string) int {
	t.Helper()
	found := digSize.FindStringSubmatch(output)
	if found == nil {
		t.Fatalf("no size in\n%s", output)
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// section are the records that dig prints under a heading, sorted, with single
// spaces.
func section(output, heading string) []string {
	_, after, _ := strings.Cut(output, ";; "+heading+" SECTION:\n")
	after, _, _ = strings.Cut(after, "\n\n")
	var records []string
	for text := range strings.Lines(after) {
		records = append(records, strings.Join(strings.Fields(text), " "))
	}
	slices.Sort(records)
	return records
}

// digs checks status and answer of one call of dig, and that dig, which checks
// messages more closely than a resolver does, has nothing to warn of.
func (s *server) digs(t *testing.T, args, wantStatus string, answer ...string) (output string) {
	t.Helper()
	output = s.dig(t, strings.Fields(args)...)
	if got := status(t, output); got != wantStatus {
		t.Errorf("dig %s: status %q, want %q\n%s", args, got, wantStatus, output)
	}
	slices.Sort(answer)
	if got := section(output, "ANSWER"); !slices.Equal(got, answer) {
		t.Errorf("dig %s: answer\n%s\nwant\n%s", args, strings.Join(got, "\n"), strings.Join(answer, "\n"))
	}
	// dig warns of every name in .local, where another protocol is spoken too.
	if n := strings.Count(strings.ToLower(output), "warning") - strings.Count(output, "WARNING: .local is reserved"); n > 0 {
		t.Errorf("dig %s warns:\n%s", args, output)
	}
	return output
}

// contains checks a part of dig's output.
func contains(t *testing.T, output, part string) {
	t.Helper()
	if !strings.Contains(output, part) {
		t.Errorf("no %q in\n%s", part, output)
	}
}

func TestDigIsAnswered(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1", "fd00:10:96::101"))
	createService(t, c, externalName("alias", "web.default.svc.cluster.local"))
	for _, n := range []int{20, 60, 100} {
		createMany(t, c, n)
	}
	s := startServer(t, c.kubeconfig(""), forwardCorefile)
	s.awaitServing(t, 30*time.Second)

	const web, many = "web.default.svc.cluster.local", "many-%d.default.svc.cluster.local"
	const a = web + ". 5 IN A 10.96.1.1"

	t.Run("OverUDP", func(t *testing.T) {
		output := s.digs(t, web, "NOERROR qr aa rd ra", a)
		contains(t, output, "(UDP)")
		contains(t, output, "; EDNS: version: 0, flags:; udp: 1232")
		s.digs(t, web+" AAAA", "NOERROR qr aa rd ra", web+". 5 IN AAAA fd00:10:96::101")
	})
	t.Run("OverTCP", func(t *testing.T) {
		contains(t, s.digs(t, "+tcp "+web, "NOERROR qr aa rd ra", a), "(TCP)")
	})
	t.Run("SeveralOnOneConnection", func(t *testing.T) {
		output := s.dig(t, "+tcp", "+keepopen", web, web, "AAAA", "nothing."+web)
		if n := strings.Count(output, "(TCP)"); n != 3 {
			t.Errorf("%d answers, want 3:\n%s", n, output)
		}
		contains(t, output, "status: NXDOMAIN")
	})
	t.Run("Reverse", func(t *testing.T) {
		s.digs(t, "-x 10.96.1.1", "NOERROR qr aa rd ra", "1.1.96.10.in-addr.arpa. 5 IN PTR "+web+".")
		s.digs(t, "+tcp -x fd00:10:96::101", "NOERROR qr aa rd ra",
			"1.0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa. 5 IN PTR "+web+".")
	})
	t.Run("SRV", func(t *testing.T) {
		output := s.digs(t, "_http._tcp."+web+" SRV", "NOERROR qr aa rd ra", "_http._tcp."+web+". 5 IN SRV 0 50 80 "+web+".")
		want := []string{a, web + ". 5 IN AAAA fd00:10:96::101"}
		if got := section(output, "ADDITIONAL"); !slices.Equal(got, want) {
			t.Errorf("additional %q, want %q", got, want)
		}
	})
	t.Run("Alias", func(t *testing.T) {
		s.digs(t, "alias.default.svc.cluster.local", "NOERROR qr aa rd ra",
			"alias.default.svc.cluster.local. 5 IN CNAME "+web+".", a)
	})
	t.Run("Short", func(t *testing.T) {
		if got := s.dig(t, "+short", web); got != "10.96.1.1\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("MixedCase", func(t *testing.T) {
		mixed := "wEb.DeFaulT.sVc.CLUSTER.locaL"
		output := s.digs(t, mixed, "NOERROR qr aa rd ra", mixed+". 5 IN A 10.96.1.1")
		if got, want := section(output, "QUESTION"), []string{";" + mixed + ". IN A"}; !slices.Equal(got, want) {
			t.Errorf("question %q, want %q", got, want)
		}
		s.digs(t, "_HTTP._Tcp."+mixed+" SRV", "NOERROR qr aa rd ra", "_HTTP._Tcp."+mixed+". 5 IN SRV 0 50 80 "+web+".")
	})
	t.Run("WithoutEDNS", func(t *testing.T) {
		output := s.digs(t, "+noedns "+web, "NOERROR qr aa rd ra", a)
		if strings.Contains(output, "OPT PSEUDOSECTION") {
			t.Errorf("an OPT that was not asked for:\n%s", output)
		}
		// The answer to a query without EDNS has no place for the reason.
		output = s.digs(t, "+noedns nothing."+web, "NXDOMAIN qr aa rd ra")
		contains(t, output, "SOA")
	})
	t.Run("ReasonOfADenial", func(t *testing.T) {
		output := s.digs(t, "gone.default.svc.cluster.local", "NXDOMAIN qr aa rd ra")
		contains(t, output, "; EDE: 0 (Other): (service default/gone: not found)")
		contains(t, output, "cluster.local.\t\t5\tIN\tSOA\tns.dns.cluster.local. hostmaster.cluster.local. ")
	})
	t.Run("LaterVersionOfEDNS", func(t *testing.T) {
		output := s.dig(t, "+edns=1", "+noednsnegotiation", web)
		if got := status(t, output); got != "BADVERS qr rd" && got != "BADVERS qr rd ra" {
			t.Errorf("status %q\n%s", got, output)
		}
		// Left alone, dig comes back with version 0.
		contains(t, s.dig(t, "+edns=1", "+short", web), "10.96.1.1\n")
	})
	t.Run("TransferRefused", func(t *testing.T) {
		contains(t, s.dig(t, "AXFR", "cluster.local"), "; Transfer failed.")
	})
	t.Run("OtherClassRefused", func(t *testing.T) {
		contains(t, s.dig(t, "CH", "TXT", "version.bind"), "status: REFUSED")
	})

	t.Run("AsLargeAsTheClientTakes", func(t *testing.T) {
		// 20 addresses need 371 octets, 60 some 1000, 100 some 1700.
		for _, test := range []struct {
			args      string
			endpoints int
			truncated bool
			limit     int
		}{
			{"+noedns", 20, false, 512},
			{"+noedns", 60, true, 512},
			{"+bufsize=512", 20, false, 512},
			{"+bufsize=512", 60, true, 512},
			{"+bufsize=1232", 60, false, 1232},
			{"+bufsize=1232", 100, true, 1232},
			// Our own zones are answered up to what the client takes.
			{"+bufsize=4096", 60, false, 4096},
			{"+bufsize=4096", 100, false, 4096},
			{"+bufsize=0", 60, true, 512},
		} {
			output := s.dig(t, append(strings.Fields(test.args), "+ignore", fmt.Sprintf(many, test.endpoints))...)
			want := "NOERROR qr aa rd ra"
			if test.truncated {
				want = "NOERROR qr aa tc rd ra"
			}
			got, n := status(t, output), size(t, output)
			if got != want || n > test.limit {
				t.Errorf("%s, %d endpoints: %q in %d octets, want %q in at most %d", test.args, test.endpoints, got, n, want, test.limit)
			}
			if records := section(output, "ANSWER"); !test.truncated && len(records) != test.endpoints {
				t.Errorf("%s, %d endpoints: %d records", test.args, test.endpoints, len(records))
			}
		}
	})
	t.Run("TruncatedThenWholeOverTCP", func(t *testing.T) {
		name := fmt.Sprintf(many, 100)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprintf("%s. 5 IN A 10.4.100.%d", name, i))
		}
		for _, args := range []string{"", "+noedns ", "+bufsize=512 "} {
			output := s.digs(t, args+name, "NOERROR qr aa rd ra", want...)
			contains(t, output, ";; Truncated, retrying in TCP mode.")
			contains(t, output, "(TCP)")
		}
		// SRV has more to say: a target for each, with its address.
		output := s.dig(t, "_http._tcp."+name, "SRV")
		contains(t, output, ";; Truncated, retrying in TCP mode.")
		if n, more := len(section(output, "ANSWER")), len(section(output, "ADDITIONAL")); n != 100 || more != 100 {
			t.Errorf("%d records and %d addresses of targets, want 100 of each", n, more)
		}
	})
}

// createMany makes a headless service of n endpoints in one slice, called
// many-n.
func createMany(t *testing.T, c *cluster, n int) {
	t.Helper()
	name := fmt.Sprintf("many-%d", n)
	var endpoints []discoveryv1.Endpoint
	for i := range n {
		endpoints = append(endpoints, ready("", fmt.Sprintf("10.4.%d.%d", n, i)))
	}
	createService(t, c, headless(name))
	createSlice(t, c, slice(name, name, discoveryv1.AddressTypeIPv4, endpoints...))
}
