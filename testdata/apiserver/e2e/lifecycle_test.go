package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// ttlCorefile serves the cluster with a TTL that a reload changes.
func ttlCorefile(ttl int) string {
	return fmt.Sprintf(`. {
	bind 127.0.0.1
	errors
	ready READY
	health HEALTH {
		lameduck 2s
	}
	prometheus METRICS
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig KUBECONFIG
		ttl %d
	}
}
`, ttl)
}

// lameduck is how long a server with ttlCorefile answers after SIGTERM.
const lameduck = 2 * time.Second

// oneAddress accepts an answer of one address.
func oneAddress(_ string, reply *dns.Msg) error {
	if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
		return fmt.Errorf("the answer is\n%v", reply)
	}
	return nil
}

func TestLifeOfAServer(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	const question = "web.default.svc.cluster.local. A"
	s := startServer(t, c.kubeconfig(""), ttlCorefile(5))
	s.awaitServing(t, 30*time.Second)
	s.answers(t, question, "@ 5 A 10.96.1.1")

	t.Run("ReloadLosesNoQuery", func(t *testing.T) {
		// Each reload raises the TTL by one. An asker may see it rise, and must
		// never go back.
		last := map[string]*atomic.Uint32{"udp": {}, "tcp": {}}
		stop := s.steadily(t, question, func(proto string, reply *dns.Msg) error {
			if err := oneAddress(proto, reply); err != nil {
				return err
			}
			if ttl, before := reply.Answer[0].Header().Ttl, last[proto].Load(); ttl < before {
				return fmt.Errorf("TTL %d after %d", ttl, before)
			} else {
				last[proto].Store(ttl)
			}
			return nil
		})
		began := time.Now()
		const reloads = 20
		for i := 1; i <= reloads; i++ {
			s.configure(t, ttlCorefile(5+i))
			s.send(t, syscall.SIGUSR1)
			for _, seen := range last {
				await(t, patience, "the new TTL to be answered", func() bool { return seen.Load() == uint32(5+i) })
			}
		}
		took := time.Since(began)
		t.Logf("%d reloads in %v; %d questions answered meanwhile", reloads, took, stop())
		if n := s.metric(t, "coredns_reload_failed_total"); n != 0 {
			t.Errorf("%v reloads failed", n)
		}
	})

	t.Run("ReloadGoesOnWatching", func(t *testing.T) {
		createService(t, c, clusterIP("after", "10.96.1.2"))
		s.answers(t, "after.default.svc.cluster.local. A", "@ 25 A 10.96.1.2")
	})

	t.Run("ReloadWithAnotherSourceIsNeverBlank", func(t *testing.T) {
		// With pods verified more is read, from the beginning. Until it is read
		// the old state answers.
		createReadyPod(t, c, "lone", "lone", "10.244.1.1")
		stop := s.steadily(t, question, oneAddress)
		s.configure(t, strings.Replace(ttlCorefile(25), "ttl 25", "ttl 25\n\t\tpods verified", 1))
		s.send(t, syscall.SIGUSR1)
		s.answers(t, "10-244-1-1.default.pod.cluster.local. A", "@ 25 A 10.244.1.1")
		s.configure(t, ttlCorefile(25))
		s.send(t, syscall.SIGUSR1)
		await(t, patience, "names of pods to be gone", func() bool {
			return s.ask(t, "udp", "10-244-1-1.default.pod.cluster.local.", dns.TypeA).Rcode == dns.RcodeNameError
		})
		t.Logf("%d questions answered meanwhile", stop())
	})

	t.Run("BadCorefileKeepsTheOldOne", func(t *testing.T) {
		stop := s.steadily(t, question, func(proto string, reply *dns.Msg) error {
			if err := oneAddress(proto, reply); err != nil {
				return err
			}
			if ttl := reply.Answer[0].Header().Ttl; ttl != 25 {
				return fmt.Errorf("TTL %d", ttl)
			}
			return nil
		})
		for i, bad := range []string{
			strings.Replace(ttlCorefile(5), "errors", "erors", 1),
			ttlCorefile(3601), // more than an hour
			strings.Replace(ttlCorefile(5), "READY", "192.0.2.1:8181", 1), // good, but the address is not ours
			"",
		} {
			s.configure(t, bad)
			s.send(t, syscall.SIGUSR1)
			await(t, patience, "the failure to be counted", func() bool {
				return s.metric(t, "coredns_reload_failed_total") == float64(i+1)
			})
		}
		t.Logf("%d questions answered meanwhile", stop())
		if !strings.Contains(s.said(), "Corefile:3: ") {
			t.Errorf("no line of the Corefile in\n%s", s.said())
		}
		s.isReady(t, true)
		// A good one is taken again.
		s.configure(t, ttlCorefile(23))
		s.send(t, syscall.SIGUSR1)
		s.expect(t, question, wanted(t, question, "NOERROR aa", "@ 23 A 10.96.1.1"))
	})

	t.Run("SecondInstanceIsRefused", func(t *testing.T) {
		_, port, _ := net.SplitHostPort(s.address)
		// Everything but the address of DNS is its own.
		file := corefileAt(t, strings.NewReplacer("READY", "127.0.0.1:0", "HEALTH", "127.0.0.1:0", "METRICS", "127.0.0.1:0",
			"KUBECONFIG", s.kubeconfig).Replace(ttlCorefile(5)))
		refusal := refusedStart(t, "-conf", file, "-dns.port", port)
		if !strings.Contains(refusal, s.address) {
			t.Errorf("the refusal does not name %s: %q", s.address, refusal)
		}
		// And with an address of its own, but not for its metrics.
		file = corefileAt(t, strings.NewReplacer("READY", "127.0.0.1:0", "HEALTH", "127.0.0.1:0", "METRICS", s.metrics,
			"KUBECONFIG", s.kubeconfig).Replace(ttlCorefile(5)))
		refusal = refusedStart(t, "-conf", file, "-dns.port", freePort(t))
		if !strings.Contains(refusal, s.metrics) {
			t.Errorf("the refusal does not name %s: %q", s.metrics, refusal)
		}
		for range 100 { // which a second socket would share
			s.answers(t, question, "@ 23 A 10.96.1.1")
		}
	})

	t.Run("LameDuckGoesOnAnswering", func(t *testing.T) {
		// A client that keeps its connection must not keep the server.
		idle, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer idle.Close()
		began := time.Now()
		s.send(t, syscall.SIGTERM)
		await(t, lameduck/2, "/ready to say that the server is going", func() bool {
			status, _, err := fetch(t.Context(), "http://"+s.ready+"/ready")
			return err == nil && status == 503
		})
		s.isHealthy(t)
		asked := 0
		for ended := false; !ended; {
			reply, err := exchange(t.Context(), []string{"udp", "tcp"}[asked%2], s.address, new(dns.Msg).SetQuestion("web.default.svc.cluster.local.", dns.TypeA))
			if err == nil {
				err = oneAddress("", reply)
			}
			if err != nil && time.Since(began) < lameduck {
				t.Fatalf("%v after SIGTERM: %v", time.Since(began), err)
			}
			asked++
			select {
			case <-s.ended:
				ended = true
			default:
				ended = time.Since(began) > lameduck+patience
			}
		}
		took := time.Since(began)
		t.Logf("ended %v after SIGTERM, with %d questions asked meanwhile", took, asked)
		if took < lameduck || took > lameduck+5*time.Second {
			t.Errorf("ended %v after SIGTERM, want %v", took, lameduck)
		}
		if s.err != nil {
			t.Errorf("it ended with %v", s.err)
		}
	})
}

// corefileAt writes a Corefile and returns its path.
func corefileAt(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// refusedStart runs clusterdns, which must end with status 1 and one line of
// standard error, and returns that line.
func refusedStart(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, built(t, clusterdns), args...)
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	endWithParent(cmd)
	if err := spawn(cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	line, rest, _ := strings.Cut(complaint.String(), "\n")
	if line == "" || rest != "" || out.String() != "" {
		t.Errorf("want one line of standard error, got %q, and on standard output %q", complaint.String(), out.String())
	}
	return line
}

func TestBadCorefileIsRefusedAtTheStart(t *testing.T) {
	for _, test := range []struct{ name, corefile, want string }{
		{"UnknownDirective", ".:0 {\n\terrors\n\tforwrad . 127.0.0.1\n}\n", `:3: .*forwrad.*forward`},
		{"UnknownOption", "cluster.local:0 {\n\tkubernetes cluster.local {\n\t\tpodz verified\n\t}\n}\n", `:3: .*podz.*pods`},
		{"BadValue", "cluster.local:0 {\n\tkubernetes {\n\t\tttl -1\n\t}\n}\n", `:3: `},
		{"MissingBrace", ".:0 {\n\terrors\n", `:[23]: `},
		{"BadZone", "a..b:0 {\n\terrors\n}\n", `:1: `},
		{"TheSameZoneTwice", ".:0 {\n\terrors\n}\n.:0 {\n\terrors\n}\n", `:4: `},
		{"NoUpstream", ".:0 {\n\tforward .\n}\n", `:2: `},
		{"MissingImport", "# one\nimport absent.conf\n", `:2: .*absent\.conf`},
		{"MissingKubeconfig", ".:0 {\n\tkubernetes cluster.local {\n\t\tkubeconfig absent\n\t}\n}\n", `:[123]: .*absent`},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := corefileAt(t, test.corefile)
			if got := refusedStart(t, "-conf", file); !regexp.MustCompile(`Corefile` + test.want).MatchString(got) {
				t.Errorf("%q does not match %q", got, "Corefile"+test.want)
			}
		})
	}
	t.Run("MissingFile", func(t *testing.T) {
		if got := refusedStart(t, "-conf", "absent"); !strings.Contains(got, "absent") {
			t.Errorf("%q", got)
		}
	})
	t.Run("UnknownFlag", func(t *testing.T) {
		if got := refusedStart(t, "-confg", "absent"); !strings.Contains(got, "confg") {
			t.Errorf("%q", got)
		}
	})
}
