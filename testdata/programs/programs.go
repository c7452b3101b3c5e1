// Package programs runs name servers of this tree and of other makers for tests, each as a process of its own that ends
// with the test. Nothing listens but on loopback, at ports that nobody else uses.
package programs

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything may take that a test waits for: BIND and Knot DNS wait some seconds between transfers.
const Patience = time.Minute

// Build builds the server of this tree in a folder. The working directory is a folder of testdata.
func Build(folder string) (path string, err error) {
	path = filepath.Join(folder, "clusterdns")
	output, err := exec.Command("go", "build", "-o", path, "../..").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, output)
	}
	return path, err
}

// Run starts a command that ends with the test, or when stop is called. What it says is shown if the test fails.
func Run(t testing.TB, name string, words []string) (stop func()) {
	t.Helper()
	return Start(t, name, words).Stop
}

// Program is a command that runs.
type Program struct {
	cmd  *exec.Cmd
	Stop func()
}

// Signal sends it a signal.
func (p *Program) Signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// Start is Run for programs that get signals.
func Start(t testing.TB, name string, words []string) *Program {
	t.Helper()
	var said bytes.Buffer
	path, err := exec.LookPath(words[0])
	if err != nil {
		path = "/usr/sbin/" + words[0] // not on everybody's path
	}
	cmd := exec.Command(path, words[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	stop := sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		gone := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		gone.Stop()
		if text := said.String(); t.Failed() {
			t.Logf("%s said:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	t.Cleanup(stop)
	return &Program{cmd, stop}
}

// Await waits until ok. what completes the sentence "waited for".
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > Patience {
			t.Fatalf("waited %v for %s", Patience, what)
		}
	}
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

// given counts ports, so that none is given twice.
var given atomic.Int32

// Free is a port that nothing uses, over UDP and TCP. It is below those that the kernel gives to clients (32768 and up),
// one of which could take it before the program does, or while the program starts again.
func Free(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20000 + (os.Getpid()*64+int(given.Add(1)))%12000) // other tests may run beside these
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
