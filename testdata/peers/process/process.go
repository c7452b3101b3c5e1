// Package process builds and runs what the tests of this module are about: clusterdns, CoreDNS and an API server, each as a
// process of its own that ends with its test.
package process

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net"
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
)

var (
	clusterdnsFlag = flag.String("clusterdns", "", "binary to test instead of one built from this repository")
	corednsFlag    = flag.String("coredns", "", "likewise")
)

// A Command returns the path of a binary, which the first test that needs it builds.
type Command func() (string, error)

var (
	bin        string
	APIServer  = Command(sync.OnceValues(func() (string, error) { return build("", "apiserver", "../../apiserver", ".") }))
	Clusterdns = Command(sync.OnceValues(func() (string, error) { return build(*clusterdnsFlag, "clusterdns", "../../..", ".") }))
	CoreDNS    = Command(sync.OnceValues(func() (string, error) { return build(*corednsFlag, "coredns", "..", "./coredns") }))
)

// Main is for a TestMain: it runs the tests, and returns what to exit with.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "clusterdns-peers")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	return m.Run()
}

// build returns the binary of a package of the module in dir. Go keeps what it has linked for go run alone, so that it is
// linked once for all packages of tests, and for all runs.
func build(given, name, dir, pkg string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	path := filepath.Join(bin, name)
	cmd := exec.Command("go", "run", "-exec", "cp", pkg, path)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return path, nil
}

// A Process is a command that ends with the test that started it.
type Process struct {
	Cmd *exec.Cmd

	mu     sync.Mutex
	output bytes.Buffer // standard output and error

	Ready chan string   // the line that begins with "ready"
	Ended chan struct{} // closed when the process has ended and Err is set
	Err   error
}

// Start builds and starts a command, and shows the end of its output if the
// test fails.
func Start(t *testing.T, command Command, args ...string) *Process {
	t.Helper()
	path, err := command()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Ready: make(chan string, 1), Ended: make(chan struct{})}
	p.Cmd = exec.Command(path, args...)
	stdout, err := p.Cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Cmd.Stderr = p.Cmd.Stdout
	endWithParent(p.Cmd)
	if err := spawn(p.Cmd); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			p.line(lines.Text())
		}
		p.Err = p.Cmd.Wait()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("%s, %v, said:\n%s", strings.Join(p.Cmd.Args, " "), p.Err, tail(p.output.String()))
		}
	})
	return p
}

// line takes one line of output.
func (p *Process) line(line string) {
	p.mu.Lock()
	p.output.WriteString(line + "\n")
	p.mu.Unlock()
	if strings.HasPrefix(line, "ready") {
		select {
		case p.Ready <- line:
		default:
		}
	}
}

// Stop ends the process in an orderly way, or by force after a while. It may
// be called again.
func (p *Process) Stop() {
	p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Ended:
	case <-time.After(15 * time.Second):
		p.Cmd.Process.Kill()
		<-p.Ended
	}
}

// Await asks ok often until it is true, and ends the test if that takes too
// long or the process ends. what completes the sentence "waited for".
func (p *Process) Await(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	began := time.Now()
	for pause := time.Millisecond; !ok(); pause = min(2*pause, 20*time.Millisecond) {
		select {
		case <-p.Ended:
			t.Fatalf("%s ended: %v", p.Cmd.Path, p.Err)
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

// tried counts ports, so that none is given twice.
var tried atomic.Int32

// FreePort returns a port that nothing uses, neither over UDP nor over TCP. It
// is below those that the kernel gives to clients (32768 and up), one of which
// could take it before the server does.
func FreePort(t *testing.T) string {
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

// ListenBoth listens at one port of loopback over TCP and UDP. The kernel gives a port that is free over TCP; a client's
// socket may have it over UDP, and then another one is tried.
func ListenBoth(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if packets, err := net.ListenPacket("udp", l.Addr().String()); err == nil {
			return l, packets
		}
		l.Close()
	}
	t.Fatal("no port is free over both TCP and UDP")
	return nil, nil
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
