package e2e

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is a command started by a test. It ends with the test, or with
// the test binary if that is killed.
type process struct {
	cmd  *exec.Cmd
	logs []string // files shown when the test fails, besides the output

	mu     sync.Mutex
	output bytes.Buffer // standard output and error

	ready chan string   // the line that begins with "ready"
	ended chan struct{} // closed when the process has ended and err is set
	err   error         // why it ended, as of exec.Cmd.Wait
}

// start runs a command until the test ends, and shows its output and the
// files in logs if the test fails. It does not wait for anything.
func start(t testing.TB, logs []string, path string, args ...string) *process {
	t.Helper()
	p := &process{logs: logs, ready: make(chan string, 1), ended: make(chan struct{})}
	// t.Context ends just before the cleanups. The signal is then an orderly
	// one, with a kill to follow; a second signal would not be orderly.
	p.cmd = exec.CommandContext(t.Context(), path, args...)
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 15 * time.Second
	p.cmd.Stdout = &lines{add: p.line}
	p.cmd.Stderr = p.cmd.Stdout
	endWithParent(p.cmd)
	if err := spawn(p.cmd); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		<-p.ended
		if t.Failed() {
			p.show(t)
		}
	})
	return p
}

// line takes one line of output.
func (p *process) line(line string) {
	p.mu.Lock()
	p.output.WriteString(line)
	p.mu.Unlock()
	if strings.HasPrefix(line, "ready") {
		select {
		case p.ready <- strings.TrimSpace(line):
		default:
		}
	}
}

// awaitReady waits for a line of output that begins with "ready" and returns
// it.
func (p *process) awaitReady(t testing.TB, within time.Duration) string {
	t.Helper()
	select {
	case line := <-p.ready:
		return line
	case <-p.ended:
		t.Fatalf("%s ended before it was ready: %v", p.name(), p.err)
	case <-time.After(within):
		t.Fatalf("%s not ready within %v", p.name(), within)
	}
	return ""
}

// signal sends a signal and waits for the process to end, which it must do
// within a time.
func (p *process) signal(t testing.TB, signal syscall.Signal, within time.Duration) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("%s: %v", p.name(), err)
	}
	select {
	case <-p.ended:
	case <-time.After(within):
		t.Fatalf("%s did not end within %v of signal %v", p.name(), within, signal)
	}
}

// send sends a signal and does not wait.
func (p *process) send(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// said returns what the process has printed.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

func (p *process) name() string { return filepath.Base(p.cmd.Path) }

// show writes the end of the output and of the log files to the test's log.
func (p *process) show(t testing.TB) {
	p.mu.Lock()
	output := p.output.String()
	p.mu.Unlock()
	t.Logf("%s, %v, said:\n%s", strings.Join(p.cmd.Args, " "), p.err, tail(output))
	for _, file := range p.logs {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Log(err)
			continue
		}
		t.Logf("end of %s:\n%s", file, tail(grave(string(text))))
	}
}

// tail returns the last lines of a log.
func tail(text string) string {
	const most = 30
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-most):], "")
}

// grave returns the errors in an API server's log, without information, warnings
// and what etcd says: the failure itself must not drown in them.
func grave(text string) string {
	var grave strings.Builder
	for line := range strings.Lines(text) {
		if line[0] == 'E' || line[0] == 'F' {
			grave.WriteString(line)
		}
	}
	return grave.String()
}

// lines is a writer that hands on whole lines.
type lines struct {
	add  func(line string)
	rest []byte
}

func (l *lines) Write(data []byte) (int, error) {
	l.rest = append(l.rest, data...)
	for {
		n, line, err := bufio.ScanLines(l.rest, false)
		if n == 0 || err != nil {
			return len(data), nil
		}
		l.add(string(line) + "\n")
		l.rest = l.rest[n:]
	}
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
