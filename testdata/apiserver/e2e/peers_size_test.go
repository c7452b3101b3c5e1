package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a snapshot of 155,000 endpoints costs the peer that gives it and the one that starts from it, over TLS, and what a
// flood of handshakes at its port costs the giver and those who ask it for names:
//
//	go test ./e2e -run '^$' -bench Peers -size.snapshots DIR
func BenchmarkPeers(b *testing.B) {
	c, holds := startFilled(b, *sizeShape)
	folder := b.TempDir()
	questions := filepath.Join(folder, "questions")
	runLoad(b, "-shape", *sizeShape, "-names", questions)
	secret := filepath.Join(folder, "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	certificate, key := selfSigned(b, folder, "peers.example")
	at := net.JoinHostPort("127.0.0.1", freePort(b))
	corefile := func(file string, lines ...string) string {
		if lines != nil {
			lines = append(lines, "snapshot secret "+secret, "snapshot tls "+certificate+" "+key+" "+certificate+" peers.example")
		}
		lines = append([]string{"snapshot " + filepath.Join(folder, file)}, lines...)
		return strings.Replace(sizeCorefile, "\t\tttl 30\n", "\t\t"+strings.Join(lines, "\n\t\t")+"\n", 1)
	}
	giver := startPeer(b, clusterdns, c.kubeconfig(""), corefile("first", "snapshot listen "+at))
	giver.awaitSoon(b)
	awaitSnapshot(b, filepath.Join(folder, "first"))
	c.kill(b)
	info, err := os.Stat(filepath.Join(folder, "first"))
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("\n%s: %.1f MB\n", holds, float64(info.Size())/1e6)

	for i := range *sizeStarts {
		time.Sleep(2 * time.Second) // an address that has ended counts for a while
		giver.forgetPeak(b)
		before := giver.processor(b)
		began := time.Now()
		asker := startPeer(b, clusterdns, c.kubeconfig(""), corefile(fmt.Sprint("start", i), "snapshot peers "+at))
		asker.awaitSoon(b)
		fmt.Printf("from a peer: ready %.2f s after the start, %.2f s of CPU, peak %.0f MB; the giver %.3f s of CPU, peak %.0f MB\n",
			time.Since(began).Seconds(), asker.processor(b).Seconds(), asker.memory(b, "VmHWM"),
			(giver.processor(b) - before).Seconds(), giver.memory(b, "VmHWM"))
		asker.end()
		began = time.Now()
		asker = startPeer(b, clusterdns, c.kubeconfig(""), corefile(fmt.Sprint("start", i)))
		asker.awaitSoon(b)
		fmt.Printf("from its file: ready %.2f s after the start, %.2f s of CPU, peak %.0f MB\n",
			time.Since(began).Seconds(), asker.processor(b).Seconds(), asker.memory(b, "VmHWM"))
		asker.end()
	}

	for _, addresses := range []int{0, 1, 250, 0, 1, 250} {
		done := make(chan struct{})
		var flooding sync.WaitGroup
		var opened, shaken atomic.Int64
		for i := range 32 * min(addresses, 1) {
			flooding.Go(func() { flood(done, at, i, addresses, &opened, &shaken) })
		}
		before := giver.processor(b)
		latency := giver.latency(b, questions)
		spent := giver.processor(b) - before
		close(done)
		flooding.Wait()
		fmt.Printf("flood from %d addresses: %d connections, %d handshakes in 10 s; 2,000 questions a second take %s on average, the giver's CPU %.2f s\n",
			addresses, opened.Load(), shaken.Load(), latency, spent.Seconds())
	}
}

// selfSigned writes a certificate for a name and its key.
func selfSigned(b *testing.B, folder, name string) (certificate, key string) {
	b.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		b.Fatal(err)
	}
	packed, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		b.Fatal(err)
	}
	certificate, key = filepath.Join(folder, "certificate"), filepath.Join(folder, "key")
	for file, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: signed}, key: {Type: "PRIVATE KEY", Bytes: packed}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return certificate, key
}

// flood opens TLS connections from many loopback addresses until done, and leaves each after its handshake.
func flood(done <-chan struct{}, at string, from, addresses int, opened, shaken *atomic.Int64) {
	for i := from; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		dialer := &net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(2+i%addresses))},
			Control: func(_, _ string, c syscall.RawConn) error { // closed ports are had again at once
				return c.Control(func(fd uintptr) {
					unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
				})
			}}
		conn, err := dialer.Dial("tcp", at)
		if err != nil {
			continue
		}
		opened.Add(1)
		conn.SetDeadline(time.Now().Add(3 * time.Second))
		if tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake() == nil {
			shaken.Add(1)
		}
		conn.Close()
	}
}

var perfLatency = regexp.MustCompile(`Average Latency \(s\): +([0-9.]+)`)

// latency is how long 2,000 questions a second take on average, for ten seconds.
func (s *server) latency(b *testing.B, questions string) string {
	b.Helper()
	host, port, _ := strings.Cut(s.address, ":")
	output, err := exec.CommandContext(b.Context(), "dnsperf", "-s", host, "-p", port, "-d", questions, "-c", "4", "-T", "1",
		"-Q", "2000", "-l", "10").CombinedOutput()
	found, lost := perfLatency.FindSubmatch(output), perfLost.FindSubmatch(output)
	if err != nil || found == nil || lost == nil {
		b.Fatalf("dnsperf: %v\n%s", err, output)
	}
	seconds, _ := strconv.ParseFloat(string(found[1]), 64)
	return fmt.Sprintf("%.0f us (%s lost)", seconds*1e6, lost[1])
}

// processor is the CPU time of a process, in nanoseconds, of the threads that it has.
func (p *process) processor(b *testing.B) time.Duration {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		b.Fatalf("no threads: %v", err)
	}
	var all time.Duration
	for _, thread := range threads {
		content, err := os.ReadFile(thread)
		if err != nil {
			b.Fatal(err)
		}
		spent, _, _ := strings.Cut(string(content), " ")
		n, err := strconv.ParseInt(spent, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		all += time.Duration(n)
	}
	return all
}
