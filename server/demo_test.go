package server

import (
	"bytes"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// await returns when what the demo prints has a text.
func (d demonstration) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(d.out.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the demo does not print %q:\n%s", text, d.out)
		}
	}
}

// TestDemoServesACopy: what is edited is a copy, which the demo names before all else; the log begins behind the
// welcome, without colours where it is no terminal, and says what an edit has changed.
func TestDemoServesACopy(t *testing.T) {
	d := startDemo(t)
	printed := d.out.String()
	folder := regexp.MustCompile(`^clusterdns demo: reading a copy of the sample cluster in (\S+) `).FindStringSubmatch(printed)
	if folder == nil || strings.Contains(printed, "\x1b") {
		t.Fatalf("printed %q", printed)
	}
	d.await(t, "[INFO] manifests: folder read")
	if printed = d.out.String(); strings.Index(printed, "[INFO]") < strings.Index(printed, "Queries, as they come") {
		t.Errorf("the log stands before the welcome:\n%s", printed)
	}
	if here, err := filepath.Abs("../testdata"); err != nil || strings.HasPrefix(folder[1], here) {
		t.Fatalf("%s is tracked (%v)", folder[1], err)
	}
	const web = "{apiVersion: v1, kind: Service, metadata: {name: web-2, namespace: shop}, spec: {clusterIP: 10.96.7.7, ports: [{port: 80}]}}"
	if err := os.WriteFile(filepath.Join(folder[1], "web.yaml"), []byte(web), 0o600); err != nil {
		t.Fatal(err)
	}
	d.await(t, "[INFO] + web-2.shop A 10.96.7.7\n")
}

// TestDemoTextbook: the service of docs/walkthrough.md is in the sample cluster.
func TestDemoTextbook(t *testing.T) {
	d := startDemo(t)
	m := new(dns.Msg).SetQuestion("datarc-test-pod.datarc.svc.cluster.local.", dns.TypeA)
	reply, err := dns.Exchange(m, "127.0.0.1:"+d.port)
	if err != nil || len(reply.Answer) != 1 {
		t.Fatalf("%v, %v", reply, err)
	}
}

// TestDemoManifests: of other manifests their own names are proposed.
func TestDemoManifests(t *testing.T) {
	folder := writeFiles(t, map[string]string{"a b/web.yaml": serviceLine("web", "shop", "10.96.0.7")})
	d := startDemo(t, "-f", filepath.Join(folder, "a b"))
	if want := " web.shop.svc.cluster.local "; !strings.Contains(d.out.String(), want) {
		t.Errorf("%q is not proposed:\n%s", want, d.out)
	}
}

// TestDemoInUse: a port that is taken, and that of the page, are told apart.
func TestDemoInUse(t *testing.T) {
	taken := pairOfPorts(t)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for p, want := range map[int]string{
		port:     "clusterdns demo: cannot listen on 127.0.0.1:" + strconv.Itoa(port) + ": ",
		port - 1: "clusterdns demo: the page cannot listen on 127.0.0.1:" + strconv.Itoa(port) + ": ",
	} {
		var out, said bytes.Buffer
		status := Main([]string{"clusterdns", "demo", "-p", strconv.Itoa(p)}, nil, &out, &said)
		if status != 1 || !strings.HasPrefix(said.String(), want) || !strings.Contains(said.String(), "-p PORT takes another port") {
			t.Errorf("-p %d: status %d, said %s", p, status, &said)
		}
	}
}

// pairOfPorts listens at a port that the kernel gives to no client, and below which is a free one.
func pairOfPorts(t *testing.T) net.Listener {
	t.Helper()
	for range 100 {
		below := 10_000 + rand.IntN(20_000)
		free, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(below))
		if err != nil {
			continue
		}
		packets, err := net.ListenPacket("udp", free.Addr().String())
		free.Close()
		if err != nil {
			continue
		}
		packets.Close()
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(below+1)); err == nil {
			return l
		}
	}
	t.Fatal("no pair of free ports")
	return nil
}

// TestDemoMistakes are those of its flags.
func TestDemoMistakes(t *testing.T) {
	for line, want := range map[string]string{
		"demo -p 99999":              "-p: got \"99999\", wants a port from 0 to 65535\n",
		"demo more":                  "unexpected argument \"more\"; clusterdns demo -h lists the flags\n",
		"demo -f a -kubeconfig b":    "-kubeconfig and -f: give one of them\n",
		"demo -f /gone":              "-f: /gone cannot be read: no such file or directory\n",
		"demo -kubeconfig /gone lab": "-kubeconfig: /gone cannot be read: no such file or directory\n",
	} {
		var out, said bytes.Buffer
		if status := Main(append([]string{"clusterdns"}, strings.Fields(line)...), nil, &out, &said); status != 1 || said.String() != want {
			t.Errorf("%s: status %d, said %s", line, status, &said)
		}
	}
}

// TestDemoColours: on a terminal the lines of the log that matter are coloured, whole.
func TestDemoColours(t *testing.T) {
	var out bytes.Buffer
	w := &welcomeFirst{to: &out, colour: true}
	if _, err := w.Write([]byte("[INFO] + a.b A 10.96.0.7\n[INFO] plain\n")); err != nil {
		t.Fatal(err)
	}
	w.print("welcome\n")
	if _, err := w.Write([]byte("[WARNING] beware\n")); err != nil {
		t.Fatal(err)
	}
	want := "welcome\n" + green + "[INFO] + a.b A 10.96.0.7" + plain + "\n[INFO] plain\n" + yellow + "[WARNING] beware" + plain + "\n"
	if out.String() != want {
		t.Errorf("got %q", &out)
	}
}
