package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// screen is a terminal of tmux, with a server of tmux of its own.
type screen struct {
	t      *testing.T
	socket string
}

func (s *screen) tmux(words ...string) string {
	s.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", s.socket, "-f", os.DevNull}, words...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %q: %v\n%s", words, err, out)
	}
	return string(out)
}

// await waits for a text on the screen.
func (s *screen) await(text string) (shown string) {
	s.t.Helper()
	programs.Await(s.t, text, func() bool {
		shown = s.tmux("capture-pane", "-p")
		return strings.Contains(shown, text)
	})
	return shown
}

// TestTerminal: top fills the terminal, follows its size, and leaves it as it was; tail prints lines. Both end with ^C.
func TestTerminal(t *testing.T) {
	s := start(t)
	s.feedFor(t)
	term := &screen{t, filepath.Join(t.TempDir(), "tmux")}
	term.tmux("new-session", "-d", "-x", "80", "-y", "24", "sh")
	t.Cleanup(func() { term.tmux("kill-server") })
	term.tmux("send-keys", "PS1='ready> '; clear", "Enter")
	term.await("ready>")
	command := filepath.Join(filepath.Dir(s.file), "clusterdns")
	term.tmux("send-keys", command+" top -every 200ms -server 127.0.0.1:"+s.page, "Enter")
	term.await("nothing-ready.datarc.svc.cluster.local.")
	narrow := term.await("127.0.0.10")
	if n := strings.Count(narrow, "\n"); n != 24 || !strings.Contains(narrow, "queries/s  median") || !strings.Contains(narrow, "FAILURES") {
		t.Errorf("%d lines:\n%s", n, narrow)
	}
	term.tmux("resize-window", "-x", "150", "-y", "40")
	programs.Await(t, "two tables beside each other", func() bool {
		for line := range strings.Lines(term.tmux("capture-pane", "-p")) {
			if strings.Contains(line, " NAMES ") && strings.Contains(line, "NAMES THAT DO NOT EXIST") {
				return true
			}
		}
		return false
	})
	term.tmux("send-keys", "C-c")
	programs.Await(t, "the shell", func() bool {
		shown := term.tmux("capture-pane", "-p")
		return strings.Contains(shown, "ready>") && !strings.Contains(shown, "FAILURES")
	})
	term.tmux("send-keys", "clear; "+command+" tail -rcode SERVFAIL -server 127.0.0.1:"+s.page, "Enter")
	term.await("db.dead.example. SERVFAIL")
	term.tmux("send-keys", "C-c", "clear; echo still $((6 * 7))", "Enter")
	term.await("still 42")
}
