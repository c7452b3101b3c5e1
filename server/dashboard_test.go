package server

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/explain"
	"github.com/clusterdns/clusterdns/server/page"
	"github.com/clusterdns/clusterdns/testdata/scrape"
)

// ask reads the JSON of a path of the page.
func ask[V any](t *testing.T, r *running, path string) (v V) {
	t.Helper()
	status, body := get(t, r.admin, adminAddress, path)
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != 200 {
		t.Fatalf("%s: %d %v %s", path, status, err, body)
	}
	return v
}

// TestDashboard: the page tells of a running program, what a reload of it became, and ends with the directive.
func TestDashboard(t *testing.T) {
	upstream := newOutside(t)
	corefile := fmt.Sprintf(".:0 {\n bind 127.0.0.1\n cache\n forward dead.test 127.0.0.1:1\n forward . %s\n dashboard %s\n"+
		" kubernetes cluster.local {\n  manifests town\n }\n}\n", upstream.address, adminAddress)
	r := launch(t, corefile)
	if err := r.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.answer(t, web)
	r.answer(t, "outside.test.")
	r.answer(t, "www.dead.test.")
	r.answer(t, "web.prod.prod.svc.cluster.local.")
	var s page.Summary
	until(t, func() bool { s = ask[page.Summary](t, r, "/api/summary"); return s.Total.Queries >= 4 })
	if got := fmt.Sprint(s.Total.Rcodes, s.Total.Sources); got != "map[NOERROR:2 NXDOMAIN:1 SERVFAIL:1] map[forward:2 kubernetes:2]" {
		t.Error(got)
	}
	if len(s.NotReady) > 0 || !s.Reload.Current || s.Reload.Last != nil || len(s.Caches) != 1 || s.Caches[0].Entries != 2 {
		t.Errorf("%+v", s.State)
	}
	if len(s.Upstreams) != 2 || s.Upstreams[0].Address != "127.0.0.1:1" || s.Upstreams[0].Failed == 0 ||
		s.Upstreams[1].Queries != 1 || s.Upstreams[1].P99 == 0 {
		t.Errorf("%+v", s.Upstreams)
	}
	if len(s.Watches) < 2 || s.Watches[0].Objects == 0 || !s.Watches[0].Synced || s.Watches[0].Idle != nil {
		t.Errorf("%+v", s.Watches)
	}
	if m := ask[page.Most](t, r, "/api/top?of=searches"); len(m.Rows) != 1 || m.Rows[0].Client != "127.0.0.1" ||
		m.Rows[0].Example != "web.prod.prod.svc.cluster.local." {
		t.Errorf("%+v", m)
	}
	failures := ask[map[string][]page.Failure](t, r, "/api/failures")["failures"]
	if len(failures) != 1 || !strings.HasPrefix(failures[0].Reason, "upstream 127.0.0.1:1 refuses") {
		t.Errorf("%+v", failures)
	}
	if v := ask[page.Records](t, r, "/api/service?namespace=prod&name=web"); v.Found != 4 || v.Records[0].Data != "10.96.0.8" {
		t.Errorf("%+v", v)
	}
	for _, bad := range []string{"", "name=" + strings.Repeat("a.", 150), "name=web&type=NOPE", "name=web&from=" + strings.Repeat("a", 64)} {
		if status, body := get(t, r.admin, adminAddress, "/explain?"+bad); status != 400 || !strings.HasPrefix(body, `{"error":"`) {
			t.Errorf("/explain?%.40s: %d %s", bad, status, body)
		}
	}
	if n := testing.AllocsPerRun(10, func() { r.served() }); n != 0 || len(r.served()) != 1 {
		t.Errorf("%d clusters, with %v allocations for each client", len(r.served()), n)
	}
	r.reload(t, strings.Replace(corefile, "cache", "trace zipkin http://a:b@c@192.0.2.1:x/", 1), refused)
	if fault := ask[page.Summary](t, r, "/api/summary").Reload.Fault; strings.Contains(fault, "b@c") || !strings.Contains(fault, "***@192.0.2.1") {
		t.Errorf("the page shows a password: %s", fault)
	}
	r.reload(t, strings.Replace(corefile, "cache", "cash", 1), refused)
	s = ask[page.Summary](t, r, "/api/summary")
	if s.Reload.Current || time.Since(*s.Reload.Last) > time.Minute || !strings.Contains(s.Reload.Fault, `Corefile:3: unknown directive "cash"`) {
		t.Errorf("%+v", s.Reload)
	}
	r.reload(t, corefile, reloaded)
	if s = ask[page.Summary](t, r, "/api/summary"); !s.Reload.Current || s.Reload.Fault != "" || s.Total.Queries < 4 {
		t.Errorf("%+v", s.Reload)
	}
	if got := ask[map[string]any](t, r, "/api/corefile")["files"].([]any)[0].(map[string]any)["text"]; got != corefile {
		t.Errorf("%q", got)
	}
	r.reload(t, strings.Replace(corefile, "dashboard "+adminAddress, "health "+adminAddress, 1), reloaded)
	if status, _ := get(t, r.admin, adminAddress, "/"); status != 404 {
		t.Errorf("without dashboard: %d", status)
	}
	until(t, func() bool { return r.traffic.Report(time.Now()).Seconds.Counts == nil })
	exchange(t, "udp", r.Addresses()[0], web, dns.TypeA)
}

// TestDashboardTrouble: the page has the API server's reason.
func TestDashboardTrouble(t *testing.T) {
	r := launch(t, ".:0 {\n bind 127.0.0.1\n dashboard "+adminAddress+"\n kubernetes cluster.local {\n  manifests town\n }\n}\n")
	if s := ask[page.Summary](t, r, "/api/summary"); s.Troubles == nil || len(s.Troubles) > 0 {
		t.Errorf("%+v", s.Troubles)
	}
	const why = "API server 10.96.0.1:443: 403 Forbidden: clusterdns may not list services: give its ClusterRole the rule {}"
	_, _, _, sources := r.now()
	sources[0].index.SetTrouble(why)
	if got := ask[page.Summary](t, r, "/api/summary").Troubles; len(got) != 1 || got[0] != (page.Trouble{Source: sources[0].id, Why: why}) {
		t.Errorf("%+v", got)
	}
	sources[0].index.SetTrouble("")
	if got := ask[page.Summary](t, r, "/api/summary").Troubles; len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// TestDashboardExplainsAs: /explain asks in the place of a client, and acl decides as for it.
func TestDashboardExplainsAs(t *testing.T) {
	r := launch(t, ".:0 {\n bind 127.0.0.1\n dashboard "+adminAddress+"\n acl {\n  block net 192.0.2.0/24\n }\n"+
		" kubernetes cluster.local {\n  manifests town\n }\n}\n")
	if err := r.Synced(t.Context()); err != nil {
		t.Fatal(err)
	}
	for query, resolves := range map[string]bool{"": true, "&client=198.51.100.1": true, "&client=192.0.2.1": false} {
		report := ask[explain.Report](t, r, "/explain?name="+web+query)
		if report.Resolves != resolves || !resolves && !strings.HasPrefix(report.Sentence, "A rule of the directive acl keeps this name") {
			t.Errorf("%s: %v %s", query, report.Resolves, report.Sentence)
		}
	}
}

// TestDashboardMetrics: what the bounds of the page do is in /metrics while it is served.
func TestDashboardMetrics(t *testing.T) {
	r := launch(t, ".:0 {\n bind 127.0.0.1\n dashboard "+adminAddress+"\n kubernetes cluster.local {\n  manifests town\n }\n}\n")
	if err := r.Synced(t.Context()); err != nil { // before it is read, the answer is a failure
		t.Fatal(err)
	}
	r.answer(t, web)
	scrape.AwaitLines(t, r.metrics, `
clusterdns_dashboard_entries{table="names"} 1
clusterdns_dashboard_entries{table="clients"} 1
clusterdns_dashboard_entries{table="failures"} 0
clusterdns_dashboard_evictions_total{table="names"} 0
clusterdns_dashboard_samples_dropped_total 0
clusterdns_dashboard_tails 0
clusterdns_dashboard_tail_omitted_total 0
`)
}

// TestDashboardShadow: what a second server answers to the same questions is on the page. Differences take longer to be
// sure of: testdata/browser waits for one.
func TestDashboardShadow(t *testing.T) {
	upstream := newOutside(t)
	r := launch(t, fmt.Sprintf(".:0 {\n bind 127.0.0.1\n shadow %s {\n  sample 100%%\n  timeout 10s\n }\n dashboard %s\n forward . %s\n}\n",
		upstream.address, adminAddress, upstream.address))
	if s := ask[page.Summary](t, r, "/api/summary").Shadow; s == nil || len(s.Differences) > 0 {
		t.Errorf("%+v", s)
	}
	r.answer(t, "outside.test.")
	until(t, func() bool {
		o := ask[page.Summary](t, r, "/api/summary").Shadow.Outcomes
		return o[0] == page.Outcome{Result: "same", Count: 1}
	})
}
