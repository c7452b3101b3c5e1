package e2e

import (
	"encoding/pem"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
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

// TestTroubleIsExplained: whoever finds the server unready reads the reason in the log, in /ready or in an answer.
func TestTroubleIsExplained(t *testing.T) {
	c := startCluster(t, "-authorization-mode", "RBAC", "-token", "clusterdns=secret")
	grant(t, c, "clusterdns", "all", deployedRole(t))
	foreign := httptest.NewTLSServer(nil)
	defer foreign.Close()
	other := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: foreign.Certificate().Raw})
	for _, test := range []struct {
		name   string
		change func(*clientcmdapi.Cluster, *clientcmdapi.AuthInfo)
		words  string
	}{
		{"token", func(_ *clientcmdapi.Cluster, user *clientcmdapi.AuthInfo) { user.Token = "of another cluster" },
			"401 Unauthorized: the token or client certificate of the kubeconfig "},
		{"authority", func(cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			cluster.CertificateAuthority, cluster.CertificateAuthorityData = "", other
		}, "its certificate is signed by an authority that the kubeconfig "},
		{"stopped", func(cluster *clientcmdapi.Cluster, _ *clientcmdapi.AuthInfo) {
			cluster.Server = "https://127.0.0.1:" + freePort(t)
		}, "connection refused: nothing listens there: start it, or correct the address in the kubeconfig "},
	} {
		t.Run(test.name, func(t *testing.T) {
			config, err := clientcmd.LoadFromFile(c.kubeconfig("clusterdns"))
			if err != nil {
				t.Fatal(err)
			}
			current := config.Contexts[config.CurrentContext]
			test.change(config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo])
			file := filepath.Join(t.TempDir(), "kubeconfig")
			if err := clientcmd.WriteToFile(*config, file); err != nil {
				t.Fatal(err)
			}
			s := startServer(t, file, corefile)
			host := strings.TrimPrefix(config.Clusters[current.Cluster].Server, "https://")
			s.explains(t, "web.default.svc.cluster.local. A", "API server "+host+": "+test.words+file)
			if n := strings.Count(s.said(), "kubernetes: API server"); n != 1 {
				t.Errorf("%d lines for all kinds, want one:\n%s", n, s.said())
			}
		})
	}
}

// explains expects words of why the cluster has not been read: in an answer, in /ready and in the log.
func (s *server) explains(t *testing.T, question string, words ...string) {
	t.Helper()
	for _, words := range words {
		s.waitsFor(t, question, words)
		if status, body, err := fetch(t.Context(), "http://"+s.ready+"/ready"); err != nil || status != 503 ||
			!strings.HasPrefix(string(body), "kubernetes: ") || !strings.Contains(string(body), words) {
			t.Errorf("/ready: %d %s %v, want %q", status, body, err, words)
		}
		if !strings.Contains(s.said(), strings.ReplaceAll(words, `"`, `\"`)) {
			t.Errorf("the log does not say %q:\n%s", words, s.said())
		}
	}
}
