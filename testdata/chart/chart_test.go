package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Data  map[string]string `json:"data"`
	Rules any               `json:"rules"`
	Spec  struct {
		Replicas *int             `json:"replicas"`
		Ports    []map[string]any `json:"ports"`
		Ingress  []struct {
			From  []any `json:"from"`
			Ports []struct {
				Port, EndPort int
				Protocol      string
			} `json:"ports"`
		} `json:"ingress"`
		Template struct {
			Spec struct {
				Containers []struct {
					Ports []map[string]any `json:"ports"`
				} `json:"containers"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// objects are those that a file of values/ renders to.
func objects(t *testing.T, values string) (all []object, notes string) {
	t.Helper()
	manifest, notes, err := render(values)
	if err != nil {
		t.Fatalf("%s: %v", values, err)
	}
	for _, document := range strings.Split(manifest, "\n---\n") {
		var o object
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("%s: %v\n%s", values, err, document)
		}
		if o.Kind != "" {
			all = append(all, o)
		}
	}
	return all, notes
}

func find(t *testing.T, all []object, kind string) object {
	t.Helper()
	i := slices.IndexFunc(all, func(o object) bool { return o.Kind == kind && !strings.Contains(o.Metadata.Name, "autoscaler") })
	if i < 0 {
		t.Fatalf("no %s", kind)
	}
	return all[i]
}

// build is the server.
func build(t *testing.T) string {
	t.Helper()
	server := filepath.Join(t.TempDir(), "clusterdns")
	if output, err := exec.Command("go", "build", "-C", "../..", "-o", server, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return server
}

// TestValues: each file of values renders, to a Corefile that the server takes, and to ports by number.
func TestValues(t *testing.T) {
	server := build(t)
	files, err := filepath.Glob("values/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		all, _ := objects(t, file)
		check := exec.Command(server, "check", "-conf", "-")
		check.Stdin = strings.NewReader(find(t, all, "ConfigMap").Data["Corefile"])
		if output, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, output)
		}
		for _, port := range find(t, all, "Service").Spec.Ports {
			if number, ok := port["targetPort"].(float64); !ok || number == 0 {
				t.Errorf("%s: targetPort %v: pods of another chart have other names", file, port["targetPort"])
			}
		}
	}
}

// TestZones: each zone of a server gets its port once, whether it has one of its own or not.
func TestZones(t *testing.T) {
	values := `servers:
- {port: 5353, zones: [{zone: "a.test:5353"}, {zone: b.test}, {scheme: "tls://", zone: c.test}], plugins: [{name: whoami}]}
- {port: 54, zones: [{zone: "2001:db8::/32"}, {}], plugins: [{name: whoami}]}
`
	all, _ := objects(t, written(t, values))
	want := "a.test:5353 b.test:5353 tls://c.test:5353 {\n2001:db8::/32:54 .:54 {"
	if got := keys(find(t, all, "ConfigMap").Data["Corefile"]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPorts: the Service and the pods have each port that a zone is served at, once for each protocol. What a server says of its
// port on the Service and the node is not for a port that a zone has of its own.
func TestPorts(t *testing.T) {
	values := `serviceType: NodePort
servers:
- {port: 53, servicePort: 1053, nodePort: 30053, hostPort: 53, zones: [{zone: .}, {zone: "a.test:5353"}, {zone: "b.test:5353"}], plugins: [{name: whoami}]}
- {zones: [{scheme: "tls://", zone: "c.test:853"}, {zone: "2001:db8::/32"}], plugins: [{name: whoami}]}
`
	all, _ := objects(t, written(t, values))
	var got []string
	for _, p := range find(t, all, "Service").Spec.Ports {
		got = append(got, fmt.Sprint(p["name"], " ", p["port"], " ", p["targetPort"], " ", p["nodePort"]))
	}
	want := []string{"udp-53 1053 53 30053", "tcp-53 1053 53 30053", "udp-5353 5353 5353 <nil>", "tcp-5353 5353 5353 <nil>", "tcp-853 853 853 <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("the Service has\n%q, want\n%q", got, want)
	}
	got = nil
	for _, p := range find(t, all, "Deployment").Spec.Template.Spec.Containers[0].Ports {
		got = append(got, fmt.Sprint(p["name"], " ", p["containerPort"], " ", p["hostPort"]))
	}
	want = []string{"udp-53 53 53", "tcp-53 53 53", "udp-5353 5353 <nil>", "tcp-5353 5353 <nil>", "tcp-853 853 <nil>"}
	if !slices.Equal(got, want) {
		t.Errorf("the pods have\n%q, want\n%q", got, want)
	}
}

// keys are the lines that begin server blocks.
func keys(corefile string) string {
	var all []string
	for line := range strings.Lines(corefile) {
		if line[0] != ' ' && strings.HasSuffix(line, "{\n") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return strings.Join(all, "\n")
}

// TestMigrate: the values that migrate writes render to the zones and ports of the Corefile that it was given.
func TestMigrate(t *testing.T) {
	const zones = "a.test:5353 b.test:5353 c.test:5353 {\ntls://d.test:8853 tls://e.test:8853 {\nf.test:53 .:53 {"
	corefile := strings.ReplaceAll(zones, "{\n", "{\n whoami\n}\n") + "\n whoami\n}\n"
	server := build(t)
	migrate := exec.Command(server, "migrate", "-o", "values", "-f", "-")
	migrate.Stdin = strings.NewReader(corefile)
	text, err := migrate.Output()
	if err != nil {
		t.Fatal(err)
	}
	all, _ := objects(t, written(t, string(text)))
	rendered := find(t, all, "ConfigMap").Data["Corefile"]
	if got := strings.ReplaceAll(keys(rendered), "f.test .:53", "f.test:53 .:53"); got != zones {
		t.Errorf("got\n%s\nwant\n%s", got, zones)
	}
	check := exec.Command(server, "check", "-conf", "-")
	check.Stdin = strings.NewReader(rendered)
	if output, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, output, rendered)
	}
}

// TestRules: the chart allows what deploy/base allows.
func TestRules(t *testing.T) {
	all, _ := objects(t, "values/default.yaml")
	text, err := os.ReadFile("../../deploy/base/clusterrole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var base object
	if err := yaml.Unmarshal(text, &base); err != nil {
		t.Fatal(err)
	}
	if got := find(t, all, "ClusterRole").Rules; !reflect.DeepEqual(got, base.Rules) {
		t.Errorf("got %v, deploy/base has %v", got, base.Rules)
	}
}

// TestDefaults: two replicas with a budget; no number of replicas where something else sets it.
func TestDefaults(t *testing.T) {
	all, notes := objects(t, "values/default.yaml")
	if n := find(t, all, "Deployment").Spec.Replicas; n == nil || *n != 2 {
		t.Errorf("%v replicas", n)
	}
	find(t, all, "PodDisruptionBudget")
	if !strings.Contains(notes, "service.clusterIP is not the address") {
		t.Errorf("the notes do not say that nobody asks the server yet:\n%s", notes)
	}
	for _, name := range []string{"hpa", "autoscaler"} {
		all, _ := objects(t, "values/"+name+".yaml")
		if n := find(t, all, "Deployment").Spec.Replicas; n != nil {
			t.Errorf("%s: %d replicas", name, *n)
		}
	}
}

// TestSnapshotPeers: nothing is open for peers by default. Where there are some, their port is for the pods of the release, and no other
// port is closed.
func TestSnapshotPeers(t *testing.T) {
	all, _ := objects(t, "values/default.yaml")
	if slices.ContainsFunc(all, func(o object) bool { return o.Kind == "NetworkPolicy" }) {
		t.Error("there is a NetworkPolicy by default")
	}
	all, _ = objects(t, "values/peers.yaml")
	isPeers := func(p map[string]any) bool {
		return p["name"] == "snapshot-peers" && (p["port"] == 9154.0 || p["containerPort"] == 9154.0)
	}
	if !slices.ContainsFunc(find(t, all, "Service").Spec.Ports, isPeers) ||
		!slices.ContainsFunc(find(t, all, "Deployment").Spec.Template.Spec.Containers[0].Ports, isPeers) {
		t.Error("the Service or the pods have no port for peers")
	}
	open, closed := map[string]int{}, 0
	for _, rule := range find(t, all, "NetworkPolicy").Spec.Ingress {
		for _, p := range rule.Ports {
			last := max(p.Port, p.EndPort)
			if len(rule.From) > 0 {
				closed += last - p.Port + 1
				continue
			}
			if p.Port <= 9154 && last >= 9154 && p.Protocol == "TCP" {
				t.Error("the port is open to all")
			}
			open[p.Protocol] += last - p.Port + 1
		}
	}
	if open["UDP"] != 65535 || open["TCP"] != 65534 || closed != 1 {
		t.Errorf("open %v, for replicas %d", open, closed)
	}
}

// TestPeersLeftOut: null takes the defaults of a value away, as does a port that is null.
func TestPeersLeftOut(t *testing.T) {
	plain, _ := objects(t, "values/default.yaml")
	if all, _ := objects(t, written(t, "snapshotPeers: null\n")); !reflect.DeepEqual(all, plain) {
		t.Error("snapshotPeers: null makes other objects than nothing does")
	}
	whole, _ := objects(t, written(t, peersAt(9154)))
	if all, _ := objects(t, written(t, "snapshotPeers: {enabled: true, secretName: s, port: null}\n")); !reflect.DeepEqual(all, whole) {
		t.Error("a port that is null is not the default")
	}
	objects(t, written(t, peersAt(8853)+"servers: [{zones: [{zone: ., scheme: 'quic://'}], port: 8853, plugins: []}]\n")) // UDP
}

// peersAt is values with replicas that give each other their snapshots at a port.
func peersAt(port int) string {
	return fmt.Sprintf("snapshotPeers: {enabled: true, secretName: s, port: %d}\n", port)
}

// mistakes are values, and a part of what is said of them.
var mistakes = map[string]string{
	"replicaCoutn: 3\n":                                                  "replicaCoutn",
	"servers: []\n":                                                      "servers",
	"serviceType: Clusterip\n":                                           "serviceType",
	"servers: [{plugins: [{nmae: errors}]}]\n":                           "nmae",
	"hpa: {enabled: true}\nautoscaler: {enabled: true}\n":                "enable one of them",
	"keda: {enabled: true}\n":                                            "keda.enabled is not served: write a ScaledObject",
	"daemonset: {enabled: true}\n":                                       "daemonset.enabled is not served by the chart: ",
	"cilium: {localRedirectPolicy: {enabled: true}}\n":                   "write a CiliumLocalRedirectPolicy of your own",
	"rbac: {pspEnable: true}\n":                                          "no PodSecurityPolicy since 1.25",
	"autoscaling: {minReplicas: 2}\n":                                    "autoscaling is not served: write hpa",
	"snapshotPeers: {enabled: true}\n":                                   "needs secretName",
	"preStopSleep: 5\n":                                                  "lameduck 5s",
	"cilum: {}\n":                                                        "cilum",
	"prometheus: {monitor: {enabled: true}}\nservers: [{plugins: []}]\n": "need the plugin prometheus",

	peersAt(9153): "that of the plugin prometheus",
	peersAt(8080): "that of the plugin health",
	peersAt(8181): "that of the plugin ready",
	peersAt(9000) + "servers: [{plugins: [{name: pprof, parameters: ':9000'}]}]\n": "that of the plugin pprof",
	peersAt(5353) + "servers: [{port: 5353, plugins: []}]\n":                       "that of the servers",
	peersAt(5353) + "servers: [{port: 53, servicePort: 5353, plugins: []}]\n":      "that of the servers",
}

// written is a file of values.
func written(t *testing.T, values string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestMistakes: what is wrong with values is said before anything is applied.
func TestMistakes(t *testing.T) {
	for values, part := range mistakes {
		if _, _, err := render(written(t, values)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", values, err)
		}
	}
}
