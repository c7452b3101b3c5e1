package server

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain gives readers their processors, as the program does, and looks for goroutines that outlive what runs them.
// Inside a process of a test it is the server.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(Main([]string{"clusterdns", "-conf", "stdin"}, os.Stdin, os.Stdout, os.Stderr))
	}
	runtime.GOMAXPROCS(8)
	goleak.VerifyTestMain(m)
}

// process is the server in a process of its own, which signals may end.
type process struct {
	*exec.Cmd
	out   *lockedBuffer
	ended chan struct{}
}

// inside makes the test binary the server that serves the Corefile of standard input.
const inside = "CLUSTERDNS_TEST_INSIDE"

func startProcess(t *testing.T, lameduck string) *process {
	p := &process{exec.Command(os.Args[0]), &lockedBuffer{}, make(chan struct{})}
	p.Env = append(os.Environ(), inside+"=1")
	p.Stdin = strings.NewReader(".:0 {\n bind 127.0.0.1\n health 127.0.0.1:0 {\n  lameduck " + lameduck + "\n }\n}\n")
	p.Stdout, p.Stderr = p.out, p.out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.Wait()
	}()
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.ended
	})
	p.await(t, runtime.GOOS+"/")
	return p
}

// await waits until the process has said text, or has ended.
func (p *process) await(t *testing.T, text string) {
	t.Helper()
	until(t, func() bool { return p.hasEnded() || strings.Contains(p.out.String(), text) })
	if !strings.Contains(p.out.String(), text) {
		t.Fatalf("%v without %q:\n%s", p.ProcessState, text, p.out)
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// TestSignals: the process lives through SIGHUP and SIGUSR2, reloads on SIGUSR1, ends on SIGTERM, and ignores SIGUSR1
// then.
func TestSignals(t *testing.T) {
	p := startProcess(t, "100ms")
	p.Process.Signal(syscall.SIGHUP)
	p.Process.Signal(syscall.SIGUSR2)
	p.Process.Signal(syscall.SIGUSR1)
	p.await(t, "Reloading complete\n")
	p.Process.Signal(syscall.SIGTERM)
	p.await(t, "shutting down; a second SIGTERM or SIGINT ends at once\n")
	p.Process.Signal(syscall.SIGUSR1)
	<-p.ended
	if !p.ProcessState.Success() || strings.Contains(p.out.String(), refused) {
		t.Errorf("%v:\n%s", p.ProcessState, p.out)
	}
}

// TestSecondSignal: a second signal ends the process in the midst of a long lameduck time. It is SIGTERM, since whoever
// runs the tests in the background of a script has them ignore SIGINT, and a process inherits that.
func TestSecondSignal(t *testing.T) {
	p := startProcess(t, "1h")
	p.Process.Signal(syscall.SIGTERM)
	p.await(t, "lameduck")
	until(t, func() bool { p.Process.Signal(syscall.SIGTERM); return p.hasEnded() })
	if by := p.ProcessState.Sys().(syscall.WaitStatus); !by.Signaled() || by.Signal() != syscall.SIGTERM {
		t.Errorf("%v:\n%s", p.ProcessState, p.out)
	}
}
