package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// snapshotCorefile has the server keep what it reads in a file.
func snapshotCorefile(file string) string {
	return strings.Replace(clusterCorefile, "\t\tpods verified\n", "\t\tpods verified\n\t\tsnapshot "+file+"\n", 1)
}

// ofSnapshot is the beginning of what answers from a snapshot say.
const ofSnapshot = " the API server cannot be read: this is of the snapshot of "

// agedAs expects an answer of a snapshot, by its first line, the code of its reason and its first record, "" for none.
func (s *server) agedAs(t testing.TB, question, header, code, record string) {
	t.Helper()
	want := header + "\nerror " + code + ofSnapshot
	s.expectThat(t, question, want+" ... "+record, func(got string) bool {
		return strings.HasPrefix(got, want) && (record == "" || strings.Contains(got, "\nanswer "+record+"\n"))
	})
}

// readyAs waits until /ready is content, and begins with words.
func (s *server) readyAs(t testing.TB, words string) {
	t.Helper()
	await(t, patience, "/ready to say "+words, func() bool {
		status, body, err := fetch(t.Context(), "http://"+s.ready+"/ready")
		return err == nil && status == http.StatusOK && strings.HasPrefix(body, words)
	})
}

// awaitSnapshot waits until there is a file.
func awaitSnapshot(t testing.TB, file string) {
	t.Helper()
	await(t, patience, "the snapshot", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
}

// TestStartWithoutAPIServer kills both, the server first, and starts the server from its snapshot. Then the API server comes
// back, with another state, and at last another cluster at its address.
func TestStartWithoutAPIServer(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	createService(t, c, clusterIP("doomed", "10.96.1.2"))
	createService(t, c, headless("db"))
	createSlice(t, c, slice("db", "db", "IPv4", ready("", "10.3.0.1")))
	createReadyPod(t, c, "lone", "lone", "10.244.1.1")
	file := filepath.Join(t.TempDir(), "snapshot")
	s := startServer(t, c.kubeconfig(""), snapshotCorefile(file))
	s.awaitServing(t, 30*time.Second)
	awaitSnapshot(t, file)
	serial := s.serial(t, "cluster.local.")
	s.signal(t, syscall.SIGKILL, 10*time.Second)
	c.kill(t)

	began := time.Now()
	s = startServer(t, c.kubeconfig(""), snapshotCorefile(file))
	s.agedAs(t, "web.default.svc.cluster.local. A", "NOERROR aa", "3", "web.default.svc.cluster.local. 5 IN A 10.96.1.1")
	t.Logf("answered %v after the start", time.Since(began))
	s.agedAs(t, "db.default.svc.cluster.local. A", "NOERROR aa", "3", "db.default.svc.cluster.local. 5 IN A 10.3.0.1")
	s.agedAs(t, "-x 10.3.0.1", "NOERROR aa", "3", "1.0.3.10.in-addr.arpa. 5 IN PTR 10-3-0-1.db.default.svc.cluster.local.")
	s.agedAs(t, "10-244-1-1.default.pod.cluster.local. A", "NOERROR aa", "3", "10-244-1-1.default.pod.cluster.local. 5 IN A 10.244.1.1")
	s.agedAs(t, "db.default.svc.cluster.local. AAAA", "NOERROR aa", "3", "")
	s.agedAs(t, "nothing.default.svc.cluster.local. A", "NXDOMAIN aa", "19", "")
	s.readyAs(t, "ready (snapshot of ")
	if s.metric(t, "clusterdns_kubernetes_snapshot_serving") != 1 {
		t.Error("no metric says that a snapshot is served")
	}
	if now := s.serial(t, "cluster.local."); now < serial { // it is the same content, and has the same one until the next full second
		t.Errorf("serial %d after %d", now, serial)
	}

	// A reload goes on with it where the same is read, and where other things would be read the old Corefile goes on: a
	// snapshot of other options is none.
	s.configure(t, strings.Replace(snapshotCorefile(file), "\t\tpods verified\n", "\t\tpods verified\n\t\tttl 7\n", 1))
	s.send(t, syscall.SIGUSR1)
	await(t, patience, "the new TTL", func() bool {
		reply := s.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA)
		return len(reply.Answer) == 1 && reply.Answer[0].Header().Ttl == 7
	})
	s.agedAs(t, "web.default.svc.cluster.local. A", "NOERROR aa", "3", "web.default.svc.cluster.local. 7 IN A 10.96.1.1")
	s.readyAs(t, "ready (snapshot of ")
	failed := s.metric(t, "coredns_reload_failed_total")
	s.configure(t, strings.Replace(snapshotCorefile(file), "\t\tpods verified\n", "\t\tstartup_timeout 1s\n", 1))
	s.send(t, syscall.SIGUSR1)
	await(t, patience, "the reload to fail", func() bool { return s.metric(t, "coredns_reload_failed_total") > failed })
	s.agedAs(t, "10-244-1-1.default.pod.cluster.local. A", "NOERROR aa", "3", "10-244-1-1.default.pod.cluster.local. 7 IN A 10.244.1.1")
	s.configure(t, snapshotCorefile(file))
	s.send(t, syscall.SIGUSR1)
	s.agedAs(t, "web.default.svc.cluster.local. A", "NOERROR aa", "3", "web.default.svc.cluster.local. 5 IN A 10.96.1.1")

	// The first lists replace it, and what is in both is answered throughout.
	stop := s.steadily(t, "web.default.svc.cluster.local. A", oneAddress)
	c.start(t)
	deleteService(t, c, "doomed")
	updateSlice(t, c, slice("db", "db", "IPv4", ready("", "10.3.0.2")))
	s.answers(t, "db.default.svc.cluster.local. A", "@ A 10.3.0.2")
	s.denies(t, "doomed.default.svc.cluster.local. A", "service default/doomed: not found")
	s.answers(t, "web.default.svc.cluster.local. A", "@ A 10.96.1.1")
	t.Logf("%d questions answered meanwhile", stop())
	s.readyAs(t, "OK")
	if s.metric(t, "clusterdns_kubernetes_snapshot_serving") != 0 {
		t.Error("a metric says that a snapshot is served")
	}

	// The end writes it once more: so the next start knows the change.
	s.signal(t, syscall.SIGTERM, 10*time.Second)
	c.kill(t)
	s = startServer(t, c.kubeconfig(""), snapshotCorefile(file))
	s.agedAs(t, "db.default.svc.cluster.local. A", "NOERROR aa", "3", "db.default.svc.cluster.local. 5 IN A 10.3.0.2")
	s.agedAs(t, "doomed.default.svc.cluster.local. A", "NXDOMAIN aa", "19", "")

	// Another cluster, with the same certificates at the same address, has none of these names.
	if err := os.RemoveAll(filepath.Join(c.dir, "etcd")); err != nil {
		t.Fatal(err)
	}
	c.start(t)
	s.denies(t, "web.default.svc.cluster.local. A", "service default/web: not found")
	s.denies(t, "db.default.svc.cluster.local. A", "service default/db: not found")
	if !strings.Contains(s.said(), "the snapshot is refused: "+file+" is of another cluster") {
		t.Error("nothing says that the snapshot is of another cluster")
	}
	s.readyAs(t, "OK")
}

// TestStartFromPeer starts a server without a file of its own while the API server is away: one that has synced gives it
// its snapshot.
func TestStartFromPeer(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	folder := t.TempDir()
	secret, first, second := filepath.Join(folder, "secret"), filepath.Join(folder, "first"), filepath.Join(folder, "second")
	if err := os.WriteFile(secret, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := net.JoinHostPort("127.0.0.1", freePort(t))
	giver := startServer(t, c.kubeconfig(""), snapshotCorefile(first+"\n\t\tsnapshot listen "+at+"\n\t\tsnapshot secret "+secret))
	giver.awaitServing(t, 30*time.Second)
	awaitSnapshot(t, first)
	c.kill(t)

	began := time.Now()
	asker := startServer(t, c.kubeconfig(""), snapshotCorefile(second+"\n\t\tsnapshot peers "+at+"\n\t\tsnapshot secret "+secret))
	asker.agedAs(t, "web.default.svc.cluster.local. A", "NOERROR aa", "3", "web.default.svc.cluster.local. 5 IN A 10.96.1.1")
	t.Logf("answered %v after the start", time.Since(began))
	asker.readyAs(t, "ready (snapshot of ")
	if n := asker.metric(t, `clusterdns_kubernetes_snapshot_serving`); n != 1 {
		t.Error("no metric says that a snapshot is served")
	}
	if !strings.Contains(asker.said(), "a peer has given its snapshot of ") {
		t.Error("nothing says that a peer has given it")
	}
	stop := asker.steadily(t, "web.default.svc.cluster.local. A", oneAddress)
	c.start(t)
	createService(t, c, clusterIP("later", "10.96.1.2"))
	asker.answers(t, "later.default.svc.cluster.local. A", "@ A 10.96.1.2")
	t.Logf("%d questions answered meanwhile", stop())
	asker.readyAs(t, "OK")
}
