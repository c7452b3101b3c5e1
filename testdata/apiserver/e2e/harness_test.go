package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// bin is where the commands under test are built, for one run of the tests.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "clusterdns-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		return m.Run()
	}())
}

// release is the Kubernetes release that the API server and the controllers are
// of: 1.36 by go.mod, 1.37 by go137.mod, and the oldest, 1.27, by go127.mod; the
// first build of the others takes minutes.
var release = flag.String("kubernetes", "1.36", "release of the API server: 1.27, 1.36 or 1.37")

// The commands, each built by the first test that needs it.
var (
	apiserver = sync.OnceValues(func() (string, error) {
		if *release == "1.36" {
			return build("apiserver", "..")
		}
		digits := strings.ReplaceAll(*release, ".", "")
		// providerless leaves out the clouds that 1.27 has in its API server.
		return build("apiserver", "..", "-modfile=go"+digits+".mod", "-tags=providerless,kubernetes"+digits)
	})
	clusterdns = sync.OnceValues(func() (string, error) { return build("clusterdns", "../../..") })
)

// build compiles the command in dir, or takes it from Go's build cache.
func build(name, dir string, flags ...string) (string, error) {
	path := filepath.Join(bin, name)
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), ".")...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return path, nil
}

// built returns the path of a command, or ends the test.
func built(t testing.TB, command func() (string, error)) string {
	t.Helper()
	path, err := command()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A cluster is a real API server of a test's own, with its objects, and
// perhaps the controllers that make EndpointSlices.
type cluster struct {
	kubernetes.Interface // as the administrator

	dir  string   // state of the API server, as in its help text
	args []string // its flags besides -dir
	*process
}

// startCluster starts an API server with further flags, and waits until it is
// ready.
func startCluster(t testing.TB, args ...string) *cluster {
	t.Helper()
	c := &cluster{dir: t.TempDir(), args: args}
	c.start(t)
	c.Interface = c.client(t, "")
	return c
}

// client returns a client for the user of a -token flag, or for the
// administrator if name is empty. It is not rate-limited.
func (c *cluster) client(t testing.TB, name string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig(name))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{} // tests use Endpoints on purpose
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// start starts the API server, again after kill: with the objects,
// address and certificates it had.
func (c *cluster) start(t testing.TB) {
	t.Helper()
	logs := []string{filepath.Join(c.dir, "apiserver.log")}
	c.process = start(t, logs, built(t, apiserver), append([]string{"-dir", c.dir}, c.args...)...)
	c.awaitReady(t, time.Minute)
}

// kill ends the API server as a crash does.
func (c *cluster) kill(t testing.TB) {
	t.Helper()
	c.signal(t, syscall.SIGKILL, 10*time.Second)
}

// kubeconfig returns the file for the user of a -token flag, or for the
// administrator if name is empty.
func (c *cluster) kubeconfig(name string) string {
	if name != "" {
		name = "-" + name
	}
	return filepath.Join(c.dir, "kubeconfig"+name)
}

// node is the name of the node that startControllers creates.
const node = "node"

// startControllers starts the EndpointSlice controllers and those that more
// names, and waits until they run. They pass over a pod whose node does not
// exist, so there is a node; its zone is zone-a.
func (c *cluster) startControllers(t testing.TB, more ...string) *process {
	t.Helper()
	_, err := c.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{corev1.LabelTopologyZone: "zone-a"}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	// The API server taints a new node, and no pod of a DaemonSet would go there.
	untainted := []byte(`{"spec":{"taints":null}}`)
	if _, err := c.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, untainted, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "controllers.log")
	p := start(t, []string{log}, built(t, apiserver), "controllers", "-kubeconfig", c.kubeconfig(""), "-log", log,
		"-more", strings.Join(more, ","))
	p.awaitReady(t, time.Minute)
	return p
}

// snapshot returns a file with all objects. The API server must not run.
func (c *cluster) snapshot(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snapshot")
	c.run(t, "snapshot", "-dir", c.dir, "-to", file)
	return file
}

// restore replaces all objects by those of a snapshot. The API server must
// not run.
func (c *cluster) restore(t testing.TB, snapshot string) {
	t.Helper()
	c.run(t, "restore", "-from", snapshot, "-dir", c.dir)
}

// run runs a command of apiserver that ends by itself.
func (c *cluster) run(t testing.TB, args ...string) {
	t.Helper()
	if output, err := exec.CommandContext(t.Context(), built(t, apiserver), args...).CombinedOutput(); err != nil {
		t.Fatalf("apiserver %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// A server is a running clusterdns.
type server struct {
	address string // of UDP and TCP
	ready   string // of the directive ready
	health  string // of the directive health
	metrics string // of the directive prometheus
	file    string // its Corefile

	kubeconfig string // in the Corefile

	*process
}

// corefile is a server of the cluster zones and nothing else. The words in
// capitals are filled in by startServer.
const corefile = `. {
	bind 127.0.0.1
	errors
	ready READY
	prometheus METRICS
	kubernetes cluster.local in-addr.arpa ip6.arpa {
		kubeconfig KUBECONFIG
	}
}
`

// startServer starts clusterdns on a Corefile in which READY, HEALTH, METRICS
// and KUBECONFIG stand for addresses and a file. It does not wait: see
// awaitServing.
func startServer(t testing.TB, kubeconfig, corefile string) *server {
	t.Helper()
	return startPeer(t, clusterdns, kubeconfig, corefile)
}

// startPeer is startServer for any server that reads a Corefile.
func startPeer(t testing.TB, command func() (string, error), kubeconfig, corefile string) *server {
	t.Helper()
	port := freePort(t)
	s := &server{
		address:    net.JoinHostPort("127.0.0.1", port),
		ready:      net.JoinHostPort("127.0.0.1", freePort(t)),
		health:     net.JoinHostPort("127.0.0.1", freePort(t)),
		metrics:    net.JoinHostPort("127.0.0.1", freePort(t)),
		file:       filepath.Join(t.TempDir(), "Corefile"),
		kubeconfig: kubeconfig,
	}
	s.configure(t, corefile)
	s.process = start(t, nil, built(t, command), "-conf", s.file, "-dns.port", port)
	return s
}

// configure writes the Corefile, in which words stand for addresses as in
// startServer. A running server reads it at SIGUSR1.
func (s *server) configure(t testing.TB, corefile string) {
	t.Helper()
	text := strings.NewReplacer("READY", s.ready, "HEALTH", s.health, "METRICS", s.metrics, "KUBECONFIG", s.kubeconfig).Replace(corefile)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitServing waits until the ready endpoint says that every source of names
// was read.
func (s *server) awaitServing(t testing.TB, within time.Duration) {
	t.Helper()
	await(t, within, "clusterdns to be ready", func() bool {
		select {
		case <-s.ended:
			t.Fatalf("clusterdns ended: %v", s.err)
		default:
		}
		status, _, err := fetch(t.Context(), "http://"+s.ready+"/ready")
		return err == nil && status == http.StatusOK
	})
}

// isReady checks what the ready endpoint says now.
func (s *server) isReady(t testing.TB, want bool) {
	t.Helper()
	status, body, err := fetch(t.Context(), "http://"+s.ready+"/ready")
	if err != nil {
		t.Fatal(err)
	}
	if got := status == http.StatusOK; got != want || !got && status != http.StatusServiceUnavailable {
		t.Errorf("/ready: status %d, %q; want ready %t", status, body, want)
	}
}

// isHealthy checks that the health endpoint is content.
func (s *server) isHealthy(t testing.TB) {
	t.Helper()
	status, body, err := fetch(t.Context(), "http://"+s.health+"/health")
	if err != nil || status != http.StatusOK || body != "OK" {
		t.Errorf("/health: status %d, %q, %v", status, body, err)
	}
}

// metric returns the sum of all series of a metric whose name and labels,
// written as in the exposition format, begin with prefix.
func (s *server) metric(t testing.TB, prefix string) float64 {
	t.Helper()
	_, body, err := fetch(t.Context(), "http://"+s.metrics+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return sum(t, body, prefix)
}

// sum returns the sum of the series in body that begin with prefix.
func sum(t testing.TB, body, prefix string) float64 {
	t.Helper()
	var sum float64
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		sum += value
	}
	return sum
}

// fetch returns the status and body of a URL.
func fetch(ctx context.Context, url string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// ask asks one question without EDNS and returns the answer, or ends the test
// if there is none. proto is udp or tcp; name is absolute.
func (s *server) ask(t testing.TB, proto, name string, qtype uint16) *dns.Msg {
	t.Helper()
	reply, err := exchange(t.Context(), proto, s.address, new(dns.Msg).SetQuestion(name, qtype))
	if err != nil {
		t.Fatalf("%s %s over %s: %v", name, dns.TypeToString[qtype], proto, err)
	}
	return reply
}

// awaitAnswer asks until the answer is ok, and returns that answer. A
// question without an answer is asked again.
func (s *server) awaitAnswer(t testing.TB, within time.Duration, name string, qtype uint16, ok func(*dns.Msg) bool) *dns.Msg {
	t.Helper()
	var reply *dns.Msg
	defer func() {
		if t.Failed() {
			t.Logf("the last answer for %s %s was:\n%v", name, dns.TypeToString[qtype], reply)
		}
	}()
	await(t, within, name+" "+dns.TypeToString[qtype], func() bool {
		answer, err := exchange(t.Context(), "udp", s.address, new(dns.Msg).SetQuestion(name, qtype))
		if err != nil {
			return false
		}
		reply = answer
		return ok(answer)
	})
	return reply
}

// exchange sends one query on a socket of its own.
func exchange(ctx context.Context, proto, address string, query *dns.Msg) (*dns.Msg, error) {
	client := &dns.Client{Net: proto, Timeout: 2 * time.Second}
	reply, _, err := client.ExchangeContext(ctx, query, address)
	return reply, err
}

// await calls ok until it is true, often at first and then every 20 ms, and
// ends the test if that takes longer than within. what completes the sentence
// "waited for".
func await(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	for pause := time.Millisecond; !ok(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Since(began) > within {
			t.Fatalf("waited %v for %s", within, what)
		}
		select {
		case <-time.After(pause):
		case <-t.Context().Done():
			t.Fatalf("the test ended while it waited for %s", what)
		}
	}
}

// tried counts ports, so that none is given twice.
var tried atomic.Int32

// freePort returns a port that nothing uses, neither over UDP nor over TCP. It
// is below those that the kernel gives to clients (32768 and up), one of which
// could take it before the server does.
func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20000 + (os.Getpid()*64+int(tried.Add(1)))%12000) // other tests may run beside these
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			continue
		}
		listener.Close()
		packets, err := net.ListenPacket("udp", ":"+port)
		if err != nil {
			continue
		}
		packets.Close()
		return port
	}
	t.Fatal("no free port")
	return ""
}
