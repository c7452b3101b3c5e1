package differ

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var binaryFlag = flag.String("clusterdns", "", "binary to test instead of one built from this repository")

// The commands under test, each built by the first test that needs it.
var (
	bin        string
	apiserver  = sync.OnceValues(func() (string, error) { return build("apiserver", "../../apiserver", ".") })
	clusterdns = sync.OnceValues(func() (string, error) {
		if *binaryFlag != "" {
			return filepath.Abs(*binaryFlag)
		}
		return build("clusterdns", "../../..", ".")
	})
	coredns = sync.OnceValues(func() (string, error) { return build("coredns", "..", "./coredns") })
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "clusterdns-differ")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		return m.Run()
	}())
}

// build compiles the package of the module in dir, or takes it from Go's
// build cache.
func build(name, dir, pkg string) (string, error) {
	path := filepath.Join(bin, name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return path, nil
}

// A process is a command that ends with the test that started it.
type process struct {
	cmd *exec.Cmd

	mu     sync.Mutex
	output bytes.Buffer // standard output and error

	ready chan string   // the line that begins with "ready"
	ended chan struct{} // closed when the process has ended and err is set
	err   error
}

// start builds and starts a command, and shows the end of its output if the
// test fails.
func start(t *testing.T, command func() (string, error), args ...string) *process {
	t.Helper()
	path, err := command()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{ready: make(chan string, 1), ended: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	endWithParent(p.cmd)
	if err := spawn(p.cmd); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.line(lines.Text())
		}
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("%s, %v, said:\n%s", strings.Join(p.cmd.Args, " "), p.err, tail(p.output.String()))
		}
	})
	return p
}

// line takes one line of output.
func (p *process) line(line string) {
	p.mu.Lock()
	p.output.WriteString(line + "\n")
	p.mu.Unlock()
	if strings.HasPrefix(line, "ready") {
		select {
		case p.ready <- line:
		default:
		}
	}
}

// stop ends the process in an orderly way, or by force after a while. It may
// be called again.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// await asks ok often until it is true, and ends the test if that takes too
// long or the process ends. what completes the sentence "waited for".
func (p *process) await(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	for pause := time.Millisecond; !ok(); pause = min(2*pause, 20*time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v", p.cmd.Path, p.err)
		case <-t.Context().Done():
			t.Fatalf("the test ended while it waited for %s", what)
		case <-time.After(pause):
		}
		if time.Since(began) > within {
			t.Fatalf("waited %v for %s", within, what)
		}
	}
}

// tail returns the last lines of a log.
func tail(text string) string {
	const most = 40
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-most):], "")
}

// cluster is a running API server.
type cluster struct {
	kubeconfig string
}

// startCluster starts an API server and waits until it is ready.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	p := start(t, apiserver, "-dir", dir)
	select {
	case <-p.ready:
	case <-p.ended:
		t.Fatalf("the API server ended: %v", p.err)
	case <-time.After(time.Minute):
		t.Fatal("the API server is not ready after a minute")
	}
	return &cluster{kubeconfig: filepath.Join(dir, "kubeconfig")}
}

// server is a running DNS server.
type server struct {
	name    string
	address string // of UDP and TCP
	*process
}

// startServer starts clusterdns or CoreDNS on a Corefile in which READY stands
// for an address of its own, and waits until it has read the cluster.
func startServer(t *testing.T, command func() (string, error), corefile string) *server {
	t.Helper()
	port, ready := freePort(t), net.JoinHostPort("127.0.0.1", freePort(t))
	file := filepath.Join(t.TempDir(), "Corefile")
	if err := os.WriteFile(file, []byte(own(t, corefile, ready)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, command, "-conf", file, "-dns.port", port)
	s := &server{name: filepath.Base(p.cmd.Path), address: net.JoinHostPort("127.0.0.1", port), process: p}
	s.await(t, time.Minute, s.name+" to be ready", func() bool {
		response, err := http.Get("http://" + ready + "/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	// CoreDNS is ready a moment before it listens.
	for _, proto := range []string{"udp", "tcp"} {
		s.await(t, time.Minute, s.name+" to answer over "+proto, func() bool {
			client := &dns.Client{Net: proto, Timeout: time.Second}
			reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(zone+".", dns.TypeSOA), s.address)
			return err == nil && reply.Rcode == dns.RcodeSuccess
		})
	}
	return s
}

// tried counts ports, so that none is given twice.
var tried atomic.Int32

// freePort returns a port that nothing uses, neither over UDP nor over TCP. It
// is below those that the kernel gives to clients (32768 and up), one of which
// could take it before the server does.
func freePort(t *testing.T) string {
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

// spawn starts cmd from one thread that lives as long as the test binary: on
// Linux the parent whose death ends a child is a thread, not a process.
func spawn(cmd *exec.Cmd) error {
	result := make(chan error)
	starts() <- func() { result <- cmd.Start() }
	return <-result
}

// starts is the queue of that thread.
var starts = sync.OnceValue(func() chan<- func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range queue {
			start()
		}
	}()
	return queue
})
