package monitoring

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"sigs.k8s.io/yaml"

	"github.com/clusterdns/clusterdns/testdata/programs"
)

// ruleGroups is what Prometheus itself reads of a PrometheusRule.
type ruleGroups struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []struct {
			Alert       string            `json:"alert"`
			Expr        string            `json:"expr"`
			For         string            `json:"for"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"rules"`
	} `json:"groups"`
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func rules(t *testing.T) (r ruleGroups) {
	t.Helper()
	var object struct {
		Spec ruleGroups `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(rulesOnly(t), &object.Spec); err != nil {
		t.Fatal(err)
	}
	return object.Spec
}

// rulesOnly is the spec of the PrometheusRule, a file of rules.
func rulesOnly(t *testing.T) []byte {
	t.Helper()
	var object struct {
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal(read(t, "../../deploy/monitoring/prometheusrule.yaml"), &object); err != nil {
		t.Fatal(err)
	}
	content, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestAlerts: each alert fires for what it is for, none for a server in good health, and each has its place in
// docs/operations.md.
func TestAlerts(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yaml", rulesOnly(t))
	write("alerts.yaml", read(t, "alerts.yaml"))
	for _, words := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "alerts.yaml"}} {
		command := exec.Command("promtool", words...)
		command.Dir = folder
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(words, " "), err, output)
		}
	}
	tests, page := string(read(t, "alerts.yaml")), string(read(t, "../../docs/operations.md"))
	for _, rule := range rules(t).Groups[0].Rules {
		if !strings.Contains(tests, "- name: "+rule.Alert+"\n") {
			t.Errorf("%s is not tested", rule.Alert)
		}
		if !strings.Contains(page, "\n### "+rule.Alert+"\n") {
			t.Errorf("docs/operations.md does not explain %s", rule.Alert)
		}
		if _, anchor, _ := strings.Cut(rule.Annotations["runbook_url"], "/docs/operations.md#"); anchor != strings.ToLower(rule.Alert) {
			t.Errorf("%s links to %q", rule.Alert, rule.Annotations["runbook_url"])
		}
	}
}

const corefile = `.:PORT {
    bind 127.0.0.1
    errors
    ready 127.0.0.1:READY
    prometheus 127.0.0.1:METRICS
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests CLUSTER
    }
    file db.test test
    cache 30
    forward . 127.0.0.1:UPSTREAM
    reload
}
tls://.:SECURE {
    bind 127.0.0.1
    tls cert.pem key.pem
    hosts
}
`

const prometheusConfig = `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
- job_name: clusterdns
  static_configs: [{targets: ["127.0.0.1:METRICS"]}]
`

// TestQueries: a real Prometheus scrapes a server, and finds something for each query of the dashboard and for what
// each alert compares.
func TestQueries(t *testing.T) {
	folder := t.TempDir()
	server, err := programs.Build(folder)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := filepath.Abs("../cluster")
	if err != nil {
		t.Fatal(err)
	}
	port, metrics, ready, web := programs.Free(t), programs.Free(t), programs.Free(t), programs.Free(t)
	fill := func(name, text string) {
		text = programs.Fill(text, "PORT", port, "METRICS", metrics, "READY", ready, "UPSTREAM", answering(t), "SECURE",
			programs.Free(t), "CLUSTER", cluster, "cert.pem", folder+"/cert.pem", "key.pem", folder+"/key.pem",
			"db.test", folder+"/db.test")
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate(t, folder)
	fill("Corefile", corefile)
	if err := os.WriteFile(folder+"/db.test", []byte("@ 60 IN SOA ns hostmaster 1 60 60 60 60\n@ 60 IN NS ns\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fill("prometheus.yaml", prometheusConfig)
	if err := os.WriteFile(filepath.Join(folder, "rules.yaml"), rulesOnly(t), 0o600); err != nil {
		t.Fatal(err)
	}
	programs.Run(t, "clusterdns", []string{server, "-conf", folder + "/Corefile"})
	programs.Await(t, "the server", func() bool { return status("http://127.0.0.1:"+ready+"/ready") == http.StatusOK })
	programs.Run(t, "prometheus", []string{"prometheus", "--config.file=" + folder + "/prometheus.yaml",
		"--storage.tsdb.path=" + folder + "/data", "--web.listen-address=127.0.0.1:" + web, "--log.level=warn"})
	p := prometheus{"http://127.0.0.1:" + web}
	programs.Await(t, "two scrapes behind queries", func() bool {
		return ask("127.0.0.1:"+port) && len(p.query(t, `rate(coredns_cache_hits_total[5s]) > 0`)) > 0 &&
			len(p.query(t, `count_over_time(up{job="clusterdns"}[1m]) > 3`)) > 0
	})
	for _, query := range queries(t) {
		if len(p.query(t, query)) == 0 {
			t.Errorf("nothing is found for %s", query)
		}
	}
}

// queries are those of the dashboard with its variables filled, and what alerts compare with a number.
func queries(t *testing.T) (all []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(read(t, "../../deploy/monitoring/dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, strings.NewReplacer("$job", "clusterdns", "$instance", ".*", "$__rate_interval", "1m").Replace(target.Expr))
		}
	}
	for _, rule := range rules(t).Groups[0].Rules {
		if strings.Contains(rule.Expr, "clusterdns_kubernetes_stale_seconds") {
			continue // only with an API server: testdata/apiserver/e2e
		}
		compared := regexp.MustCompile(` (>|==) [0-9.]+$`).ReplaceAllString(rule.Expr, "")
		// A healthy server has no SERVFAIL and is not absent.
		compared = strings.Replace(compared, `, rcode="SERVFAIL"`, "", 1)
		if inner, found := strings.CutPrefix(compared, "absent("); found {
			compared = strings.TrimSuffix(inner, ")")
		}
		all = append(all, compared)
	}
	return slices.Compact(all)
}

// prometheus is the address of one.
type prometheus struct{ at string }

// query is the samples that it finds. Nothing while it does not listen.
func (p prometheus) query(t *testing.T, expression string) []json.RawMessage {
	t.Helper()
	response, err := http.Get(p.at + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	var found struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Result []json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&found); err != nil || found.Status != "success" {
		if response.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("%s: %v %s", expression, err, found.Error)
		}
	}
	return found.Data.Result
}

func status(url string) int {
	response, err := http.Get(url)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// ask asks for a name of the cluster, and twice for one that is forwarded. It reports whether all are answered.
func ask(server string) bool {
	for _, name := range []string{"kube-dns.kube-system.svc.cluster.local.", "www.example.", "www.example."} {
		query := new(dns.Msg)
		query.SetQuestion(name, dns.TypeA)
		if _, err := dns.Exchange(query, server); err != nil {
			return false
		}
	}
	return true
}

// answering is the port of an upstream that has an address for each name.
func answering(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstream := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg)
		reply.SetReply(query)
		if query.Question[0].Qtype == dns.TypeA {
			a, _ := dns.NewRR(query.Question[0].Name + " 60 IN A 192.0.2.1")
			reply.Answer = append(reply.Answer, a)
		}
		w.WriteMsg(reply)
	})}
	go upstream.ActivateAndServe()
	t.Cleanup(func() { upstream.Shutdown() })
	return fmt.Sprint(conn.LocalAddr().(*net.UDPAddr).Port)
}

// certificate writes cert.pem and key.pem.
func certificate(t *testing.T, folder string) {
	t.Helper()
	command := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-days", "2", "-subj", "/CN=localhost", "-keyout", folder+"/key.pem", "-out", folder+"/cert.pem")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}
