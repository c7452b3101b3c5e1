package e2e

import (
	"bytes"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var updateTranscript = flag.Bool("update-transcript", false, "write what explain says")

// failures are ten names that do not resolve, and how explain is asked.
var failures = []string{
	"web.prod -from dev/shell -kubeconfig KUBECONFIG",                          // headless, nothing ready
	"empty.prod -from dev -kubeconfig KUBECONFIG",                              // headless, no endpoints
	"apii.prod -from dev -kubeconfig KUBECONFIG",                               // a slip of the pen
	"api -from dev -kubeconfig KUBECONFIG",                                     // in another namespace
	"api.prdo -from dev -kubeconfig KUBECONFIG",                                // no such namespace
	"_htp._tcp.api.prod -type SRV -from dev -kubeconfig KUBECONFIG",            // no such port
	"api.prod -type AAAA -from dev -libc musl -kubeconfig KUBECONFIG",          // no IPv6
	"api.prod -from dev/agent -kubeconfig KUBECONFIG",                          // hostNetwork
	"api.prod.svc.cluster.lcoal -from dev -kubeconfig KUBECONFIG",              // another domain
	"www.example.com -server SERVER -search dev.svc.cluster.local -libc glibc", // the upstream is away
}

// installPlugin is the command of deploy/kubectl-dns/README.md.
const installPlugin = "CGO_ENABLED=0 go install -C deploy/kubectl-dns ."

var kubectlDNS = sync.OnceValues(func() (string, error) {
	command := exec.Command("sh", "-c", installPlugin)
	command.Dir, command.Env = "../../..", append(os.Environ(), "GOBIN="+bin)
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", installPlugin, err, output)
	}
	return filepath.Join(bin, "kubectl-dns"), nil
})

// TestPluginIsStatic: what the README has people install is one file that needs no other.
func TestPluginIsStatic(t *testing.T) {
	readme, err := os.ReadFile("../../../deploy/kubectl-dns/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "\n"+installPlugin+" ") {
		t.Errorf("the README has no %q", installPlugin)
	}
	program, err := elf.Open(built(t, kubectlDNS))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it is not static: %v", p.Type)
		}
	}
}

// TestExplainTenFailures compares what explain says of ten failures with testdata/explain.txt, and the plugin of kubectl
// with explain.
func TestExplainTenFailures(t *testing.T) {
	c := startCluster(t)
	s := startServer(t, c.kubeconfig(""), strings.Replace(forwardCorefile, "127.0.0.1:9", "127.0.0.1:9 {\n\t\tmax_fails 0\n\t}", 1))
	for _, namespace := range []string{"dev", "prod"} {
		_, err := c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, service := range []*corev1.Service{clusterIP("api", "10.96.7.1"), headless("web"), headless("empty")} {
		if _, err := c.CoreV1().Services("prod").Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	unready := slice("web", "web", discoveryv1.AddressTypeIPv4, unready("web-0", "10.3.7.1"), unready("web-1", "10.3.7.2"))
	if _, err := c.DiscoveryV1().EndpointSlices("prod").Create(t.Context(), unready, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	createPodAt(t, c, "dev", "shell", "10.3.7.8", time.Now(), false)
	createPodAt(t, c, "dev", "agent", "192.0.2.9", time.Now(), true)
	s.awaitServing(t, 30*time.Second)
	var transcript strings.Builder
	fill := strings.NewReplacer("KUBECONFIG", c.kubeconfig(""), "SERVER", s.address)
	for _, failure := range failures {
		fmt.Fprintf(&transcript, "$ clusterdns explain %s\n", failure)
		var output bytes.Buffer
		command := exec.CommandContext(t.Context(), built(t, clusterdns), append([]string{"explain"}, strings.Fields(fill.Replace(failure))...)...)
		command.Stdout, command.Stderr = &output, &output
		if err, exit := command.Run(), (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("explain %s: %v, not the exit status 1\n%s", failure, err, &output)
		}
		transcript.WriteString(strings.NewReplacer(c.kubeconfig(""), "KUBECONFIG", s.address, "SERVER").Replace(output.String()) + "\n")
	}
	plugin := exec.CommandContext(t.Context(), built(t, kubectlDNS), "explain", "web.prod", "--from", "dev/shell", "--kubeconfig", c.kubeconfig(""))
	plugin.Stderr = os.Stderr
	output, _ := plugin.Output() // its status is 1
	if said := strings.ReplaceAll(string(output), c.kubeconfig(""), "KUBECONFIG"); said == "" || !strings.Contains(transcript.String(), "\n"+said) {
		t.Errorf("kubectl dns explain says otherwise:\n%s", said)
	}
	golden := filepath.Join("testdata", "explain.txt")
	if *updateTranscript {
		if err := os.WriteFile(golden, []byte(transcript.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if transcript.String() != string(want) {
		t.Errorf("explain says\n%s\nand %s is otherwise; -update-transcript writes it", &transcript, golden)
	}
}
