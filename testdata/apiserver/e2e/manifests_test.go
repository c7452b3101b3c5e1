package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/yaml"
)

// TestManifests gives every case of testdata/manifests/compared to a real API
// server with the controllers that make pods and slices, and to "clusterdns
// records", and compares what each refuses, and the records. A case has a
// namespace of its own. The kubelet is played: it says of each pod that it is
// ready, and where.
func TestManifests(t *testing.T) {
	cases := readCases(t)
	c := startCluster(t)
	createCRD(t, c, "v1beta1")
	c.startControllers(t, "deployment-controller", "replicaset-controller", "replicationcontroller-controller",
		"statefulset-controller", "daemonset-controller", "job-controller", "cronjob-controller")
	s := startServer(t, c.kubeconfig(""), strings.Replace(transferCorefile, "SECONDARY", "*", 1))
	s.awaitServing(t, 30*time.Second)
	kubelet := &kubelet{cluster: c, given: map[types.NamespacedName]corev1.PodStatus{}}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { kubelet.run(ctx, t) })

	apply(t, c, kubelet, cases)
	standIn(t, cases)
	differs := func() (differing []*manifestCase) {
		real := s.recordsByNamespace(t)
		for _, m := range cases {
			m.real = canonical(real[m.namespace], m.text)
			if !slices.Equal(m.real, m.records) {
				differing = append(differing, m)
			}
		}
		return differing
	}
	for began := time.Now(); len(differs()) > 0 && time.Since(began) < patience; {
		time.Sleep(200 * time.Millisecond)
	}
	// What comes behind all cases has gone through the same queues: then nothing of theirs is left in them.
	barrier(t, c, s)

	refused, differing, explained := 0, differs(), 0
	used := map[string]bool{}
	for _, m := range cases {
		if slices.Contains(m.refusedByServer, true) {
			refused++
		}
		sameRefusals, sameRecords := slices.Equal(m.refusedByServer, m.refusedByRecords), !slices.Contains(differing, m)
		why, known := explanations[m.name]
		used[m.name] = true
		switch {
		case sameRefusals && sameRecords && known:
			t.Errorf("%s: no difference is left to be explained by %q", m.name, why)
		case sameRefusals && sameRecords:
		case known:
			explained++
		default:
			t.Errorf("%s:\n%s", m.name, m.difference())
		}
	}
	for name := range explanations {
		if !used[name] {
			t.Errorf("explanation of %s, which is no case", name)
		}
	}
	version, err := c.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d cases, %d of which have a manifest that the API server refuses; %d differences are explained",
		version.GitVersion, len(cases), refused, explained)
}

// explanations are why a case differs, and is meant to.
var explanations = map[string]string{
	"service-generate-name": "a name that is generated would be another one at every start",
	"merge-key-behind":      "a key of a mapping's own goes before a merged one wherever it stands (YAML), which kubectl's parser has for keys behind only",
}

// manifestCase is manifests that are applied together.
type manifestCase struct {
	name, namespace, text string
	documents             []string
	folder                string // where the text lies for "clusterdns records"

	refusedByServer, refusedByRecords []bool // each document
	serverSaid, recordsSaid           string
	real, records                     []string
}

// readCases reads the cases. Each is a file of an archive.
func readCases(t *testing.T) (cases []*manifestCase) {
	t.Helper()
	paths, err := filepath.Glob("../../manifests/compared/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if name, ok := strings.CutSuffix(f.Name, ".yaml"); ok {
				text := string(f.Data)
				documents := strings.Split(text, "\n---\n")
				cases = append(cases, &manifestCase{
					name: name, namespace: fmt.Sprintf("case-%d", len(cases)), text: text, documents: documents,
					refusedByServer: make([]bool, len(documents)), refusedByRecords: make([]bool, len(documents)),
				})
			}
		}
	}
	return cases
}

// difference is how a case differs, for the one who has to explain it.
func (m *manifestCase) difference() string {
	var b strings.Builder
	for i, document := range m.documents {
		if m.refusedByServer[i] != m.refusedByRecords[i] {
			fmt.Fprintf(&b, "refused by the API server: %t, by records: %t\n  %.300s\n", m.refusedByServer[i], m.refusedByRecords[i], document)
		}
	}
	fmt.Fprintf(&b, "API server: %s\nrecords: %s\n", cmp.Or(m.serverSaid, "accepted"), m.recordsSaid)
	shown := 0
	for _, side := range []struct {
		name       string
		has, hasNo []string
	}{{"real", m.real, m.records}, {"records", m.records, m.real}} {
		for _, line := range side.has {
			if !slices.Contains(side.hasNo, line) && shown < 40 {
				fmt.Fprintf(&b, "  only %s: %s\n", side.name, line)
				shown++
			}
		}
	}
	return b.String()
}

// apply posts every case, as kubectl would.
func apply(t *testing.T, c *cluster, kubelet *kubelet, cases []*manifestCase) {
	t.Helper()
	for _, m := range cases {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.namespace}}
		if _, err := c.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		for i, document := range m.documents {
			text, err := yaml.YAMLToJSON([]byte(document))
			if err != nil {
				t.Fatalf("%s: %v", m.name, err)
			}
			for _, object := range members(t, text) {
				kubelet.learn(m.namespace, object)
				if err := create(t.Context(), c, m.namespace, object); err != nil {
					m.refusedByServer[i] = true
					m.serverSaid += err.Error() + "\n"
				}
			}
		}
	}
}

// members is an object, or those of a List.
func members(t *testing.T, text []byte) (objects [][]byte) {
	t.Helper()
	var list struct {
		Kind  string
		Items []json.RawMessage
	}
	if json.Unmarshal(text, &list) != nil || list.Kind != "List" {
		return [][]byte{text}
	}
	for _, item := range list.Items {
		objects = append(objects, item)
	}
	return objects
}

// create posts an object to the resource of its kind.
func create(ctx context.Context, c *cluster, namespace string, object []byte) error {
	var head metav1.TypeMeta
	if err := json.Unmarshal(object, &head); err != nil {
		return err
	}
	path := "/apis/" + head.APIVersion
	if head.APIVersion == "v1" {
		path = "/api/v1"
	}
	if head.Kind == "Namespace" {
		path += "/namespaces"
	} else {
		plural := strings.ToLower(head.Kind) + "s"
		if head.Kind == "Endpoints" {
			plural = "endpoints"
		}
		path += "/namespaces/" + namespace + "/" + plural
	}
	return c.CoreV1().RESTClient().Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(object).Do(ctx).Error()
}

// standIn runs "clusterdns records" on each case.
func standIn(t *testing.T, cases []*manifestCase) {
	t.Helper()
	command := built(t, clusterdns)
	queue := make(chan *manifestCase)
	var running sync.WaitGroup
	for range runtime.NumCPU() {
		running.Go(func() {
			for m := range queue {
				if err := m.tell(command); err != nil {
					t.Errorf("%s: %v", m.name, err)
				}
			}
		})
	}
	folder := t.TempDir()
	for _, m := range cases {
		path := filepath.Join(folder, m.namespace)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "case.yaml"), []byte(m.text), 0o600); err != nil {
			t.Fatal(err)
		}
		m.folder = path
		queue <- m
	}
	close(queue)
	running.Wait()
}

// refusal is a line of "clusterdns records" that says that an object is left out.
var refusal = regexp.MustCompile(`case\.yaml:(\d+): .* is refused: `)

// tell runs "clusterdns records" on the case.
func (m *manifestCase) tell(command string) error {
	var said bytes.Buffer
	cmd := exec.Command(command, "records", "-f", m.folder)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !asExit(err, &exit) {
		return err
	}
	m.recordsSaid = said.String()
	for _, parts := range refusal.FindAllStringSubmatch(m.recordsSaid, -1) {
		line, document := 1, 0
		var at int
		fmt.Sscan(parts[1], &at)
		for i, text := range m.documents {
			if line <= at {
				document = i
			}
			line += strings.Count(text, "\n") + 2
		}
		m.refusedByRecords[document] = true
	}
	var records []string
	for line := range strings.Lines(string(out)) {
		owner, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasSuffix(owner, ".default.svc.cluster.local.") && !strings.HasSuffix("."+owner, ".kubernetes.default.svc.cluster.local.") {
			_, rest, _ = strings.Cut(rest, " IN ")
			records = append(records, owner+" "+rest)
		}
	}
	m.records = canonical(records, m.text)
	return nil
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*exit = e
	return ok
}

// recordsByNamespace transfers the zone, with every namespace called default.
func (s *server) recordsByNamespace(t *testing.T) map[string][]string {
	t.Helper()
	records := map[string][]string{}
	for _, rr := range s.transfer(t, new(dns.Msg).SetAxfr("cluster.local."), nil) {
		labels := dns.SplitDomainName(rr.Header().Name)
		n := len(labels)
		if n < 5 || labels[n-3] != "svc" {
			continue
		}
		namespace := labels[n-4]
		text := rr.Header().Name + " " + dns.TypeToString[rr.Header().Rrtype] + " " + strings.TrimPrefix(rr.String(), rr.Header().String())
		text = strings.ReplaceAll(text, "."+namespace+".svc.cluster.local.", ".default.svc.cluster.local.")
		records[namespace] = append(records[namespace], text)
	}
	return records
}

// allocated are the ranges that addresses of services and pods are given from.
var allocated = []netip.Prefix{
	netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10:96::/112"),
	netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/64"),
}

var addressText = regexp.MustCompile(`(?:\d+[.-]\d+[.-]\d+[.-]\d+|fd00[0-9a-f:-]+)`)

// canonical is records in which each address that was handed out, and is not written in the manifests, is replaced by
// a word. The word follows from the records that the address is in, so that it is the same for both control planes,
// and pods that cannot be told apart have one.
func canonical(records []string, written string) []string {
	parse := func(text string) (netip.Addr, bool) {
		separator := "."
		if strings.HasPrefix(text, "fd00") {
			separator = ":"
		}
		addr, err := netip.ParseAddr(strings.ReplaceAll(text, "-", separator))
		if err != nil || strings.Contains(written, addr.String()) {
			return addr, false
		}
		return addr, slices.ContainsFunc(allocated, func(p netip.Prefix) bool { return p.Contains(addr) })
	}
	in := map[netip.Addr][]string{}
	for _, line := range records {
		for _, text := range addressText.FindAllString(line, -1) {
			if addr, ok := parse(text); ok {
				rest := addressText.ReplaceAllString(strings.ReplaceAll(line, text, "SELF"), "OTHER")
				in[addr] = append(in[addr], rest)
			}
		}
	}
	words := map[netip.Addr]string{}
	for addr, lines := range in {
		slices.Sort(lines)
		hash := fnv.New32a()
		hash.Write([]byte(strings.Join(lines, "\n")))
		words[addr] = fmt.Sprintf("ADDRESS%08x", hash.Sum32())
	}
	result := make([]string, len(records))
	for i, line := range records {
		result[i] = addressText.ReplaceAllStringFunc(line, func(text string) string {
			if addr, ok := parse(text); ok {
				return words[addr]
			}
			return text
		})
	}
	slices.Sort(result)
	return result
}

// barrier waits until objects of each kind that controllers work on, made behind all others, have their records.
func barrier(t *testing.T, c *cluster, s *server) {
	t.Helper()
	for _, kind := range []string{"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController", "Job"} {
		name := "barrier-" + strings.ToLower(kind)
		version, selector, restart := "apps/v1", `{"matchLabels":{"app":"`+name+`"}}`, "Always"
		switch kind {
		case "ReplicationController":
			version, selector = "v1", `{"app":"`+name+`"}`
		case "Job":
			version, selector, restart = "batch/v1", "null", "Never"
		}
		for _, object := range []string{
			`{"apiVersion":"v1","kind":"Service","metadata":{"name":"` + name + `"},"spec":{"clusterIP":"None","selector":{"app":"` + name + `"}}}`,
			`{"apiVersion":"` + version + `","kind":"` + kind + `","metadata":{"name":"` + name + `"},"spec":{"selector":` + selector + `,"template":{"metadata":{"labels":{"app":"` +
				name + `"}},"spec":{"restartPolicy":"` + restart + `","containers":[{"name":"c","image":"i"}]}}}}`,
		} {
			if err := create(t.Context(), c, "default", []byte(object)); err != nil {
				t.Fatal(err)
			}
		}
		s.awaitAnswer(t, patience, name+".default.svc.cluster.local.", dns.TypeA, answered)
	}
	for _, object := range []string{
		`{"apiVersion":"v1","kind":"Service","metadata":{"name":"barrier"},"spec":{"clusterIP":"None"}}`,
		`{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"barrier"},"subsets":[{"addresses":[{"ip":"10.1.0.1"}]}]}`,
	} {
		if err := create(t.Context(), c, "default", []byte(object)); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitAnswer(t, patience, "barrier.default.svc.cluster.local.", dns.TypeA, answered)
}

// kubelet plays one for all pods: binds each to the node, and says that it runs
// and is ready. The status that a manifest has is said instead.
type kubelet struct {
	*cluster
	mu    sync.Mutex
	given map[types.NamespacedName]corev1.PodStatus
	count int
}

// learn keeps the status of a pod that is going to be created.
func (k *kubelet) learn(namespace string, object []byte) {
	var pod corev1.Pod
	if json.Unmarshal(object, &pod) == nil && pod.Kind == "Pod" && pod.Status.Phase != "" {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.given[types.NamespacedName{Namespace: namespace, Name: pod.Name}] = pod.Status
	}
}

// run follows all pods until ctx ends.
func (k *kubelet) run(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		w, err := k.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for event := range w.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok && event.Type != watch.Deleted {
				if err := k.tend(ctx, pod); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
					t.Errorf("pod %s/%s: %v", pod.Namespace, pod.Name, err)
				}
			}
		}
	}
}

func (k *kubelet) tend(ctx context.Context, pod *corev1.Pod) error {
	pods := k.CoreV1().Pods(pod.Namespace)
	switch {
	case pod.DeletionTimestamp != nil:
		now := int64(0)
		return pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	case pod.Spec.NodeName == "":
		return pods.Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
			Target:     corev1.ObjectReference{Kind: "Node", Name: node},
		}, metav1.CreateOptions{})
	case pod.Status.StartTime != nil:
		return nil // it has been tended
	}
	k.mu.Lock()
	status, ok := k.given[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]
	k.mu.Unlock()
	if !ok {
		k.count++
		status = corev1.PodStatus{
			Phase:      corev1.PodRunning,
			PodIP:      fmt.Sprintf("10.244.%d.%d", k.count/250, 1+k.count%250),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		}
		status.PodIPs = []corev1.PodIP{{IP: status.PodIP}, {IP: fmt.Sprintf("fd00:10:244::%x", k.count)}}
	}
	now := metav1.Now()
	status.StartTime = &now
	pod.Status = status
	_, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}
