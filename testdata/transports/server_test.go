package transports

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// large is how many addresses large.test has: a reply of 16 KB.
const large = 1000

// server is a process that serves every transport at a port of its own of 127.0.0.1.
type server struct {
	dns, tls, https, https3, quic, grpc string // ports
	dir                                 string // of its certificate crt.pem
}

// at puts ports in the place of their names, such as PORT-TLS.
func (s *server) at(text string) string {
	return strings.NewReplacer("PORT-DNS", s.dns, "PORT-TLS", s.tls, "PORT-HTTPS3", s.https3, "PORT-HTTPS", s.https,
		"PORT-QUIC", s.quic, "PORT-GRPC", s.grpc, "DIR", s.dir).Replace(text)
}

// start builds the server and runs it for the length of the test.
func start(t *testing.T) *server {
	t.Helper()
	s := &server{dir: t.TempDir()}
	binary := filepath.Join(s.dir, "clusterdns")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "../..").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := Certificate(s.dir); err != nil {
		t.Fatal(err)
	}
	for _, port := range []*string{&s.dns, &s.tls, &s.https, &s.https3, &s.quic, &s.grpc} {
		*port = programs.Free(t)
	}
	file := filepath.Join(s.dir, "Corefile")
	if err := os.WriteFile(file, []byte(s.corefile()), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(binary, "-conf", file)
	process.Stdout, process.Stderr = output, output
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // also where a panic passes the cleanup over
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Process.Signal(syscall.SIGTERM)
		defer time.AfterFunc(10*time.Second, func() { process.Process.Kill() }).Stop()
		if err := process.Wait(); err != nil {
			text, _ := os.ReadFile(output.Name())
			t.Errorf("the server ended: %v\n%s", err, text)
		}
	})
	s.await(t, output.Name())
	return s
}

// await returns when the server answers.
func (s *server) await(t *testing.T, log string) {
	t.Helper()
	client := &dns.Client{Net: "tcp-tls", TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, _, err := client.Exchange(new(dns.Msg).SetQuestion("good.test.", dns.TypeA), "127.0.0.1:"+s.tls)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log)
			t.Fatalf("the server does not answer: %v\n%s", err, text)
		}
	}
}

func (s *server) corefile() string {
	var b strings.Builder
	b.WriteString(s.at(".:PORT-DNS tls://.:PORT-TLS https://.:PORT-HTTPS https3://.:PORT-HTTPS3 quic://.:PORT-QUIC " +
		"grpc://.:PORT-GRPC {\n bind 127.0.0.1\n tls DIR/crt.pem DIR/key.pem\n hosts {\n  10.0.0.1 good.test\n"))
	for i := range large {
		fmt.Fprintf(&b, "  10.1.%d.%d large.test\n", i/250, 1+i%250)
	}
	b.WriteString(" }\n}\n")
	return b.String()
}
