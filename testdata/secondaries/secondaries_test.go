package secondaries

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

var (
	withFlag       = flag.String("with", "knot", "what is started, with commas between them: bind, nsd, knot, pdns, coredns, unbound")
	corednsFlag    = flag.String("coredns", "coredns", "binary of CoreDNS")
	clusterdnsFlag = flag.String("clusterdns", "", "binary to test instead of one built from this repository")
)

// burst is how many services are written at once, and alone how many one after the other.
const burst, alone = 1000, 30

// corefile is a primary that tells SECONDARIES.
const corefile = `.:PORT {
	bind 127.0.0.1
	kubernetes cluster.local in-addr.arpa {
		manifests FOLDER
	}
	transfer cluster.local in-addr.arpa {
		to SECONDARIES
	}
}
`

// TestSecondariesFollow: a burst of changes, a restart of the server with a change meanwhile, and another replica in the
// place of the first one, each followed by all secondaries.
func TestSecondariesFollow(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, number int) {
		text := fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {namespace: prod, name: %s}\nspec: {clusterIP: 10.97.%d.%d, ports: [{port: 80}]}\n",
			name, number/250, number%250+1)
		if err := os.WriteFile(filepath.Join(folder, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("first", 5000)

	names := among(makers)
	ports, addresses := map[string]string{}, []string{}
	for _, name := range names {
		ports[name] = programs.Free(t)
		addresses = append(addresses, "127.0.0.1:"+ports[name])
	}
	primary := programs.Free(t)
	text := strings.NewReplacer("FOLDER", folder, "SECONDARIES", strings.Join(addresses, " ")).Replace(corefile)
	binary := server(t)
	replica := func(port string) (stop func()) {
		file := filepath.Join(t.TempDir(), "Corefile")
		if err := os.WriteFile(file, []byte(strings.Replace(text, "PORT", port, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return programs.Run(t, "clusterdns", []string{binary, "-quiet", "-conf", file})
	}
	follow := func(what, name string) {
		t.Helper()
		began := time.Now()
		var said []string
		for _, secondary := range names {
			programs.Await(t, secondary+" to follow "+what, func() bool { return answered(ports[secondary], name+".prod.svc.cluster.local.") })
			said = append(said, fmt.Sprintf("%s %v", secondary, time.Since(began).Round(10*time.Millisecond)))
		}
		t.Logf("%s: serial %d, %+d s to the clock; followed by %s", what, serial(primary), int64(serial(primary))-time.Now().Unix(),
			strings.Join(said, ", "))
	}

	stop := replica(primary)
	programs.Await(t, "the server", func() bool { return answered(primary, "first.prod.svc.cluster.local.") })
	for _, name := range names {
		makers[name].start(t, name, ports[name], primary)
	}
	follow("the zone", "first")

	ahead := int64(0)
	began := time.Now()
	for i := range burst {
		write(fmt.Sprintf("burst-%03d", i), i)
		ahead = max(ahead, int64(serial(primary))-time.Now().Unix())
	}
	t.Logf("%d services in %v", burst, time.Since(began).Round(10*time.Millisecond))
	programs.Await(t, "the server to know all", func() bool { return answered(primary, "burst-999.prod.svc.cluster.local.") })
	follow("the burst", "burst-999")

	began = time.Now()
	for i := range alone {
		name := fmt.Sprintf("alone-%02d", i)
		write(name, burst+i)
		programs.Await(t, "the server to know "+name, func() bool { return answered(primary, name+".prod.svc.cluster.local.") })
		ahead = max(ahead, int64(serial(primary))-time.Now().Unix())
	}
	t.Logf("%d more, each published alone, in %v", alone, time.Since(began).Round(10*time.Millisecond))
	if ahead > 1 {
		t.Errorf("the changes put the serial %d s ahead of the clock", ahead)
	}

	last := serial(primary)
	stop()
	write("while-away", 5001)
	stop = replica(primary)
	follow("a change during a restart", "while-away")
	if now := serial(primary); now <= last {
		t.Errorf("serial %d after the restart, %d before", now, last)
	}

	// The other replica has run for a while beside, as behind one address of a Service.
	beside := programs.Free(t)
	stopBeside := replica(beside)
	programs.Await(t, "the other replica", func() bool { return answered(beside, "while-away.prod.svc.cluster.local.") })
	write("seen-by-both", 5002)
	follow("a change that both replicas saw", "seen-by-both")
	programs.Await(t, "both to number it", func() bool { return serial(beside) >= serial(primary)-1 })
	if a, b := serial(primary), serial(beside); a-b+1 > 2 {
		t.Errorf("serials %d and %d of two replicas", a, b)
	}
	stopBeside()
	stop()
	replica(primary)
	write("after-all", 5003)
	follow("another replica at the address", "after-all")
}

// server is the binary under test.
func server(t *testing.T) string {
	if *clusterdnsFlag != "" {
		return *clusterdnsFlag
	}
	path, err := programs.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// exchange asks a server at a port, or at an address with one.
func exchange(at, name string, qtype uint16) *dns.Msg {
	if !strings.Contains(at, ":") {
		at = "127.0.0.1:" + at
	}
	client := &dns.Client{Timeout: time.Second}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, qtype), at)
	if err != nil {
		return new(dns.Msg)
	}
	return reply
}

func answered(port, name string) bool { return len(exchange(port, name, dns.TypeA).Answer) > 0 }

// serial is that of the zone, 0 without an answer.
func serial(port string) uint32 {
	for _, rr := range exchange(port, "cluster.local.", dns.TypeSOA).Answer {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa.Serial
		}
	}
	return 0
}
