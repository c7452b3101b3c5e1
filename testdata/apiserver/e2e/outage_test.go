package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServerWaitsForTheAPIServer(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	createReadyPod(t, c, "lone", "lone", "10.244.1.1")
	c.kill(t)

	s := startServer(t, c.kubeconfig(""), clusterCorefile)
	// Everything else is served at once.
	s.answers(t, "www.example.com. A", "@ 60 A 192.0.2.53")
	s.answers(t, "dns-version.cluster.local. TXT", `@ 28800 TXT "1.1.0"`)
	for _, question := range []string{
		"web.default.svc.cluster.local. A",
		"web.default.svc.cluster.local. SRV",
		"nothing.default.svc.cluster.local. A", // nobody knows yet that there is none
		"default.svc.cluster.local. A",
		"-x 10.96.1.1",
		"-x fd00:10:96::1",
		"10-244-1-1.default.pod.cluster.local. A",
	} {
		s.waits(t, question)
	}
	s.isReady(t, false)
	s.isHealthy(t)

	c.start(t)
	up := time.Now()
	s.answers(t, "web.default.svc.cluster.local. A", "@ A 10.96.1.1")
	t.Logf("answered %v after the API server was ready", time.Since(up))
	s.answers(t, "-x 10.96.1.1", "@ PTR web.default.svc.cluster.local.")
	s.answers(t, "10-244-1-1.default.pod.cluster.local. A", "@ A 10.244.1.1")
	s.denies(t, "nothing.default.svc.cluster.local. A", "service default/nothing: not found")
	s.awaitServing(t, patience)
}

func TestLastStateIsServedWhileTheAPIServerIsAway(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	createService(t, c, clusterIP("doomed", "10.96.1.2"))
	createService(t, c, headless("db"))
	createSlice(t, c, slice("db", "db", "IPv4", ready("", "10.3.0.1")))
	createReadyPod(t, c, "lone", "lone", "10.244.1.1")
	s := startServer(t, c.kubeconfig(""), clusterCorefile)
	s.awaitServing(t, 30*time.Second)
	last := func() {
		t.Helper()
		s.answers(t, "web.default.svc.cluster.local. A", "@ A 10.96.1.1")
		s.answers(t, "db.default.svc.cluster.local. A", "@ A 10.3.0.1")
		s.answers(t, "-x 10.3.0.1", "@ PTR 10-3-0-1.db.default.svc.cluster.local.")
		s.answers(t, "10-244-1-1.default.pod.cluster.local. A", "@ A 10.244.1.1")
		s.denies(t, "nothing.default.svc.cluster.local. A", "service default/nothing: not found")
	}
	last()
	c.kill(t)
	last()
	s.isReady(t, true) // it is of use, and a replica that is restarted would not be
	s.isHealthy(t)

	// The state is never blank while it is read again.
	stop := s.steadily(t, "web.default.svc.cluster.local. A", oneAddress)
	c.start(t)
	up := time.Now()
	createService(t, c, clusterIP("new", "10.96.1.3"))
	deleteService(t, c, "doomed")
	updateSlice(t, c, slice("db", "db", "IPv4", ready("", "10.3.0.2")))
	s.answers(t, "new.default.svc.cluster.local. A", "@ A 10.96.1.3")
	t.Logf("answered %v after the API server was ready", time.Since(up))
	s.denies(t, "doomed.default.svc.cluster.local. A", "service default/doomed: not found")
	s.answers(t, "db.default.svc.cluster.local. A", "@ A 10.3.0.2")
	s.denies(t, "-x 10.3.0.1", nobody)
	deletePod(t, c, "lone")
	s.denies(t, "10-244-1-1.default.pod.cluster.local. A", "namespace default: no live pod has this address")
	t.Logf("%d questions answered meanwhile", stop())
}

// TestRestoredAPIServerIsBelieved goes back to a backup, as after a loss of
// etcd: objects are older than what was served, and some are not there.
func TestRestoredAPIServerIsBelieved(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("kept", "10.96.1.1"))
	createService(t, c, headless("db"))
	createSlice(t, c, slice("db", "db", "IPv4", ready("", "10.3.0.1")))
	c.kill(t)
	backup := c.snapshot(t)
	c.start(t)
	createService(t, c, clusterIP("lost", "10.96.1.2"))
	updateSlice(t, c, slice("db", "db", "IPv4", ready("", "10.3.0.2")))
	s := startServer(t, c.kubeconfig(""), clusterCorefile)
	s.awaitServing(t, 30*time.Second)
	s.answers(t, "lost.default.svc.cluster.local. A", "@ A 10.96.1.2")
	s.answers(t, "db.default.svc.cluster.local. A", "@ A 10.3.0.2")

	c.kill(t)
	c.restore(t, backup)
	c.start(t)
	s.answers(t, "db.default.svc.cluster.local. A", "@ A 10.3.0.1")
	s.denies(t, "lost.default.svc.cluster.local. A", "service default/lost: not found")
	s.answers(t, "kept.default.svc.cluster.local. A", "@ A 10.96.1.1")
	createService(t, c, clusterIP("after", "10.96.1.4"))
	s.answers(t, "after.default.svc.cluster.local. A", "@ A 10.96.1.4")
}

// TestReloadWhileTheAPIServerIsAway asks for more of it. What is served goes on
// being served, and the probes go on being answered.
func TestReloadWhileTheAPIServerIsAway(t *testing.T) {
	c := startCluster(t)
	createService(t, c, clusterIP("web", "10.96.1.1"))
	createReadyPod(t, c, "lone", "lone", "10.244.1.1")
	s := startServer(t, c.kubeconfig(""), ttlCorefile(5))
	s.awaitServing(t, 30*time.Second)
	c.kill(t)
	stop := s.steadily(t, "web.default.svc.cluster.local. A", oneAddress)
	s.configure(t, clusterCorefile) // with pods verified
	s.send(t, syscall.SIGUSR1)
	slowest := time.Duration(0)
	for began := time.Now(); time.Since(began) < 7*time.Second; {
		asked := time.Now()
		for _, url := range []string{s.ready + "/ready", s.health + "/health", s.metrics + "/metrics"} {
			if status, _, err := fetch(t.Context(), "http://"+url); err != nil || status != 200 {
				t.Errorf("%s: status %d, %v", url, status, err)
			}
		}
		slowest = max(slowest, time.Since(asked))
	}
	if slowest > time.Second { // what a kubelet waits
		t.Errorf("the probes took %v", slowest)
	}
	stop()
}

// TestUnreachableAPIServerIsNamed: whoever finds the server unready reads the
// log to learn why.
func TestUnreachableAPIServerIsNamed(t *testing.T) {
	nowhere := "127.0.0.1:" + freePort(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	kubeconfig := `{"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": [{"name": "c", "cluster": {"server": "https://` + nowhere + `"}}],
		"contexts": [{"name": "c", "context": {"cluster": "c"}}]}`
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, file, corefile)
	s.waits(t, "web.default.svc.cluster.local. A")
	await(t, patience, "the log to name "+nowhere, func() bool { return strings.Contains(s.said(), nowhere) })
}
