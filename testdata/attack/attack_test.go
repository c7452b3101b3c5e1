package attack

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/programs"
	"github.com/clusterdns/clusterdns/testdata/transports"
)

var (
	full       = flag.Bool("full", false, "attack with the full size")
	coredns    = flag.String("coredns", "", "run this CoreDNS beside")
	clusterdns = flag.String("clusterdns", "", "run this build, not one of the tree")
)

// table is what the attacks of this run have shown, a row for each server.
var table = []string{"| attack | server | honest queries | lost | memory at its highest, MB | |", "|---|---|---|---|---|---|"}

// TestMain builds the server and prints the table.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if *clusterdns == "" {
		dir, err := os.MkdirTemp("", "attack")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(dir)
		*clusterdns = filepath.Join(dir, "clusterdns")
		if out, err := exec.Command("go", "build", "-o", *clusterdns, "../..").CombinedOutput(); err != nil {
			fmt.Printf("%v\n%s", err, out)
			return 1
		}
	}
	code := m.Run()
	if len(table) > 2 {
		fmt.Println(strings.Join(table, "\n"))
	}
	return code
}

// size is small, or large in a run with -full.
func size(small, large int) int {
	if *full {
		return large
	}
	return small
}

// attack is one attack on a server.
type attack struct {
	name      string // for the table, with its size
	corefile  string // $DNS, $HEALTH, $METRICS and the like stand for free ports of 127.0.0.1
	foreign   string // the Corefile of CoreDNS where it needs another; "-" to leave CoreDNS out
	tolerated int    // of 1,000 honest queries this many may be lost
	memory    int    // MB that the server may have at its highest; 0 for any
	run       func(t *testing.T, s *server) *honest
}

// try attacks the server, and CoreDNS if the run has one. Only the server is held to what is tolerated.
func (a attack) try(t *testing.T) {
	h := a.against(t, "clusterdns", *clusterdns, a.corefile)
	if h.lost*1000 > h.asked*a.tolerated {
		t.Errorf("%d of %d honest queries are lost", h.lost, h.asked)
	}
	if a.memory > 0 && h.memory > a.memory {
		t.Errorf("the server has had %d MB, wants %d at most", h.memory, a.memory)
	}
	if *coredns == "" || a.foreign == "-" {
		return
	}
	corefile := a.foreign
	if corefile == "" {
		corefile = a.corefile
	}
	a.against(t, "CoreDNS", *coredns, corefile)
}

func (a attack) against(t *testing.T, name, binary, corefile string) *honest {
	t.Helper()
	s := start(t, binary, corefile)
	defer s.stop()
	h := a.run(t, s)
	h.memory = s.memory() >> 20
	table = append(table, fmt.Sprintf("| %s | %s | %d | %d | %d | %s |", a.name, name, h.asked, h.lost, h.memory, h.note))
	t.Log(table[len(table)-1])
	if h.lost > 0 {
		t.Logf("the first one was lost by: %v", h.first)
	}
	if h.asked == 0 {
		t.Error("no honest client has asked")
	}
	return h
}

// variables stand for ports in Corefiles; $DIR is the folder of crt.pem and key.pem.
var variables = []string{"$DNS", "$HEALTH", "$METRICS", "$TLS", "$HTTPS", "$H3", "$QUIC", "$GRPC"}

// server is a process under attack.
type server struct {
	dns, health, metrics string            // addresses
	at                   map[string]string // all addresses, by variable
	process              *exec.Cmd
	output               *os.File
}

// start starts binary and returns when it listens.
func start(t *testing.T, binary, corefile string) *server {
	t.Helper()
	dir := t.TempDir()
	if err := transports.Certificate(dir); err != nil {
		t.Fatal(err)
	}
	s := &server{at: map[string]string{}}
	for _, variable := range variables {
		s.at[variable] = free(t)
		_, port, _ := net.SplitHostPort(s.at[variable])
		corefile = strings.ReplaceAll(corefile, variable, port)
	}
	s.dns, s.health, s.metrics = s.at["$DNS"], s.at["$HEALTH"], s.at["$METRICS"]
	corefile = strings.ReplaceAll(corefile, "$DIR", dir)
	path := filepath.Join(dir, "Corefile")
	if err := os.WriteFile(path, []byte(corefile), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.output, err = os.Create(path + ".log"); err != nil {
		t.Fatal(err)
	}
	s.process = exec.Command(binary, "-conf", path)
	s.process.Stdout, s.process.Stderr = s.output, s.output
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	await(t, func() error {
		conn, err := net.Dial("tcp", s.dns)
		if err == nil {
			conn.Close()
		} else if text, _ := os.ReadFile(path + ".log"); len(text) > 0 {
			err = fmt.Errorf("%w\n%s", err, text)
		}
		return err
	})
	return s
}

// stop ends the process, by force after a while.
func (s *server) stop() {
	if s.process.ProcessState != nil {
		return
	}
	s.process.Process.Signal(syscall.SIGTERM)
	defer time.AfterFunc(10*time.Second, func() { s.process.Process.Kill() }).Stop()
	s.process.Wait()
	s.output.Close()
}

// memory is the resident memory of the process at its highest, in octets.
func (s *server) memory() int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.Atoi(kib)
	return n << 10
}

// cpu is the time that the process has had on all CPUs.
func (s *server) cpu() (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.process.Process.Pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		ran, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.Atoi(ran)
		sum += time.Duration(n)
	}
	return sum
}

// free is an address that nobody listens on, by UDP or TCP.
func free(t *testing.T) string { return net.JoinHostPort("127.0.0.1", programs.Free(t)) }

// await waits until try succeeds.
func await(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	err := try()
	for ; err != nil && time.Now().Before(deadline); err = try() {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// honest counts what honest clients have asked.
type honest struct {
	mu          sync.Mutex
	asked, lost int
	first       error  // of those that were lost
	note        string // what else the attack has measured
	memory      int    // MB of the server at its highest
}

// errWrong is the loss of a client that got an answer, and not the one that it needs.
var errWrong = errors.New("the wrong answer")

// honest lets honest clients ask count queries, one each interval, each in its own time, and returns when all have been
// answered or are lost. ask gets the number of the query; it must end with ctx, which is two seconds.
func (s *server) honest(ctx context.Context, count int, interval time.Duration, ask func(context.Context, int) error) *honest {
	h := &honest{}
	var asking sync.WaitGroup
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for i := range count {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			err := ask(ctx, i)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.asked++
			if err != nil {
				if h.lost++; h.first == nil {
					h.first = err
				}
			}
		})
		<-ticker.C
	}
	asking.Wait()
	return h
}
