// Package deploy holds what runs clusterdns in a cluster: an image and a kustomize base. It has no code; its tests hold the files to each
// other and to the program.
package deploy

import (
	"bytes"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	kubejson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/clusterdns/clusterdns/server/config"
)

const namespace = "kube-system"

// manifests are the objects of the base by file name, decoded as strictly as the API server would.
func manifests(t *testing.T) map[string]runtime.Object {
	t.Helper()
	names, err := filepath.Glob("base/*")
	if err != nil {
		t.Fatal(err)
	}
	codec := kubejson.NewSerializerWithOptions(kubejson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme,
		kubejson.SerializerOptions{Yaml: true, Strict: true})
	objects := map[string]runtime.Object{}
	for _, name := range names {
		base := filepath.Base(name)
		if base == "kustomization.yaml" {
			continue
		}
		text := read(t, name)
		if bytes.Contains(text, []byte("\n---")) {
			t.Errorf("%s has several documents, of which this test would see the first only", name)
		}
		object, _, err := codec.Decode(text, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		objects[base] = object
	}
	return objects
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// the is the only object of its type.
func the[T runtime.Object](t *testing.T) T {
	t.Helper()
	var found []T
	for _, object := range manifests(t) {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T, want 1", len(found), *new(T))
	}
	return found[0]
}

// pod is the template of the Deployment, and its one container.
func pod(t *testing.T) (corev1.PodSpec, corev1.Container) {
	t.Helper()
	spec := the[*appsv1.Deployment](t).Spec.Template.Spec
	if len(spec.Containers) != 1 || len(spec.InitContainers) != 0 {
		t.Fatalf("got %d containers, want 1", len(spec.Containers)+len(spec.InitContainers))
	}
	return spec, spec.Containers[0]
}

// corefile is what the program makes of the arguments of the container and of the ConfigMap.
func corefile(t *testing.T) *config.Config {
	t.Helper()
	spec, container := pod(t)
	settings, err := config.ReadSettings("clusterdns", container.Args)
	if err != nil {
		t.Fatal(err)
	}
	mount, volume := container.VolumeMounts[0], spec.Volumes[0]
	configMap := the[*corev1.ConfigMap](t)
	if len(container.VolumeMounts) != 2 || len(spec.Volumes) != 2 || mount.Name != volume.Name || volume.ConfigMap.Name != configMap.Name {
		t.Fatal("the pod does not mount the ConfigMap, and one folder besides")
	}
	if mount.MountPath != path.Dir(settings.Conf) || mount.SubPath != "" {
		t.Errorf("%s is not in the folder %s", settings.Conf, mount.MountPath)
	}
	text, ok := configMap.Data[path.Base(settings.Conf)]
	if !ok {
		t.Fatalf("the ConfigMap has no %s", path.Base(settings.Conf))
	}
	// The resolv.conf is the node's: whatever the machine of the test has does not matter.
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 192.0.2.53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(settings.Conf, []byte(strings.ReplaceAll(text, "/etc/resolv.conf", resolv)), settings)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
	return c
}

// TestKustomization: kustomize applies what the file lists and nothing else, silently.
func TestKustomization(t *testing.T) {
	var k struct {
		metav1.TypeMeta
		Resources []string
		Images    []struct{ Name, NewName, NewTag string }
	}
	if err := yaml.UnmarshalStrict(read(t, "base/kustomization.yaml"), &k); err != nil {
		t.Fatal(err)
	}
	if k.APIVersion != "kustomize.config.k8s.io/v1beta1" || k.Kind != "Kustomization" {
		t.Errorf("it is a %s of %s", k.Kind, k.APIVersion)
	}
	var names []string
	for name := range manifests(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	slices.Sort(k.Resources)
	if diff := cmp.Diff(names, k.Resources); diff != "" {
		t.Errorf("files and resources (-files +listed):\n%s", diff)
	}
	_, container := pod(t)
	if len(k.Images) != 1 || k.Images[0].Name != container.Image || k.Images[0].NewTag == "" {
		t.Errorf("images is %v, want a tag for %q", k.Images, container.Image)
	}
}

// TestNamespace: all is in kube-system, also when a file is applied by itself.
func TestNamespace(t *testing.T) {
	for name, object := range manifests(t) {
		want := namespace
		switch object.(type) {
		case *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding:
			want = ""
		}
		if o := object.(metav1.Object); o.GetNamespace() != want || o.GetLabels()["k8s-app"] != "kube-dns" {
			t.Errorf("%s: namespace %q and labels %v, want %q and k8s-app: kube-dns", name, o.GetNamespace(), o.GetLabels(), want)
		}
	}
}

// TestPermissions: the pod's account, and it alone, has the role. What the role allows is compared in watch, with what is watched.
func TestPermissions(t *testing.T) {
	spec, _ := pod(t)
	account, role, binding := the[*corev1.ServiceAccount](t), the[*rbacv1.ClusterRole](t), the[*rbacv1.ClusterRoleBinding](t)
	if spec.ServiceAccountName != account.Name || spec.AutomountServiceAccountToken == nil || !*spec.AutomountServiceAccountToken {
		t.Errorf("the pod has no token of the account %s", account.Name)
	}
	want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}}
	if diff := cmp.Diff(want, binding.Subjects); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}, binding.RoleRef); diff != "" {
		t.Errorf("role (-want +got):\n%s", diff)
	}
}

// TestConfinement: the pod may do what a DNS server needs, and passes the Pod Security Standard "restricted".
func TestConfinement(t *testing.T) {
	spec, container := pod(t)
	wantPod := &corev1.PodSecurityContext{
		RunAsNonRoot:   new(true),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		Sysctls:        []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}},
	}
	if diff := cmp.Diff(wantPod, spec.SecurityContext); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
	wantContainer := &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false),
		ReadOnlyRootFilesystem:   new(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	if diff := cmp.Diff(wantContainer, container.SecurityContext); diff != "" {
		t.Errorf("container (-want +got):\n%s", diff)
	}
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		t.Error("the pod shares a namespace of the node; a sysctl of the network's would be refused")
	}
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
		t.Error("services of the namespace reach the environment")
	}
}

// TestAvailability: the loss of a pod, a node or a zone, and the replacement of all pods, leave one that answers.
func TestAvailability(t *testing.T) {
	d, budget := the[*appsv1.Deployment](t).Spec, the[*policyv1.PodDisruptionBudget](t).Spec
	spec := d.Template.Spec
	if *d.Replicas < 2 || budget.MinAvailable != nil || int32(budget.MaxUnavailable.IntValue()) >= *d.Replicas {
		t.Errorf("%d replicas with a budget of %v", *d.Replicas, budget.MaxUnavailable)
	}
	if s, err := metav1.LabelSelectorAsSelector(d.Selector); err != nil || !s.Matches(labels.Set(d.Template.Labels)) {
		t.Errorf("the Deployment does not select its own pods: %v", err)
	}
	if diff := cmp.Diff(d.Selector, budget.Selector); diff != "" {
		t.Errorf("the budget is of other pods:\n%s", diff)
	}
	var spread []string
	for _, c := range spec.TopologySpreadConstraints {
		spread = append(spread, c.TopologyKey)
		if diff := cmp.Diff(d.Selector, c.LabelSelector); diff != "" {
			t.Errorf("%s spreads other pods:\n%s", c.TopologyKey, diff)
		}
	}
	if diff := cmp.Diff([]string{corev1.LabelHostname, corev1.LabelTopologyZone}, spread); diff != "" {
		t.Errorf("spread (-want +got):\n%s", diff)
	}
	if spec.PriorityClassName != "system-cluster-critical" || spec.DNSPolicy != corev1.DNSDefault {
		t.Errorf("priority class %q, DNS policy %q", spec.PriorityClassName, spec.DNSPolicy)
	}
	lameduck, grace := corefile(t).Health.Lameduck, time.Duration(*spec.TerminationGracePeriodSeconds)*time.Second
	if lameduck == 0 || grace < lameduck+10*time.Second {
		t.Errorf("%v of grace leave no time after a lameduck time of %v", grace, lameduck)
	}
}

// TestMemory: Go collects before the kernel kills. A value that Go cannot read would end the process at its start.
func TestMemory(t *testing.T) {
	_, container := pod(t)
	limit := container.Resources.Limits.Memory().Value()
	if request := container.Resources.Requests.Memory().Value(); request == 0 || request > limit {
		t.Errorf("memory: a request of %d of at most %d bytes", request, limit)
	}
	if len(container.Env) != 1 || container.Env[0].Name != "GOMEMLIMIT" {
		t.Fatalf("the environment is %v", container.Env)
	}
	mebibytes, ok := strings.CutSuffix(container.Env[0].Value, "MiB")
	soft, err := strconv.ParseInt(mebibytes, 10, 64)
	if !ok || err != nil {
		t.Fatalf("GOMEMLIMIT is %q, want a number of MiB", container.Env[0].Value)
	}
	const mebibyte = 1 << 20
	if want := limit * 85 / 100 / mebibyte; soft != want {
		t.Errorf("GOMEMLIMIT is %d MiB, want %d: 85 %% of %s", soft, want, resource.NewQuantity(limit, resource.BinarySI))
	}
}

// TestPorts: the ports of the Corefile are those of the container, of the probes and of the service.
func TestPorts(t *testing.T) {
	c := corefile(t)
	_, container := pod(t)
	if len(c.Listeners) != 1 {
		t.Fatalf("%d listeners, want 1", len(c.Listeners))
	}
	var got []string
	for _, p := range container.Ports {
		got = append(got, p.Name+" "+string(p.Protocol)+" "+strconv.Itoa(int(p.ContainerPort)))
	}
	dns := strconv.Itoa(int(c.Listeners[0].Addresses[0].Port()))
	want := []string{"dns UDP " + dns, "dns-tcp TCP " + dns, "metrics TCP " + port(t, c.Prometheus.Addresses),
		"health TCP " + port(t, c.Health.Addresses), "ready TCP " + port(t, c.Ready.Addresses)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ports (-Corefile +container):\n%s", diff)
	}
	probes := map[string]*corev1.Probe{"health": container.LivenessProbe, "ready": container.ReadinessProbe}
	for name, probe := range probes {
		if diff := cmp.Diff(&corev1.HTTPGetAction{Path: "/" + name, Port: intstr.FromString(name)}, probe.HTTPGet); diff != "" {
			t.Errorf("probe of %s (-want +got):\n%s", name, diff)
		}
	}
}

// port is that of an endpoint which is open to the node's kubelet: on one address, and not on loopback.
func port(t *testing.T, addresses []string) string {
	t.Helper()
	if len(addresses) != 1 || !strings.HasPrefix(addresses[0], ":") {
		t.Fatalf("addresses %q, want one for all interfaces", addresses)
	}
	return addresses[0][1:]
}

// TestService: what kubelets, policies and dashboards look for.
func TestService(t *testing.T) {
	s := the[*corev1.Service](t)
	if s.Name != "kube-dns" || s.Spec.Type != "" && s.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("a service %s of type %q", s.Name, s.Spec.Type)
	}
	if diff := cmp.Diff(map[string]string{"k8s-app": "kube-dns"}, s.Spec.Selector); diff != "" {
		t.Errorf("selector (-want +got):\n%s", diff)
	}
	if pods := the[*appsv1.Deployment](t).Spec.Template.Labels; !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pods)) {
		t.Errorf("the service does not select %v", pods)
	}
	_, container := pod(t)
	var want []corev1.ServicePort
	for _, p := range container.Ports[:3] { // dns, dns-tcp, metrics; TestPorts says so
		want = append(want, corev1.ServicePort{Name: p.Name, Port: p.ContainerPort, TargetPort: intstr.FromInt32(p.ContainerPort), Protocol: p.Protocol})
	}
	if diff := cmp.Diff(want, s.Spec.Ports); diff != "" {
		t.Errorf("ports (-container +service):\n%s", diff)
	}
	if got, want := s.Annotations["prometheus.io/port"], port(t, corefile(t).Prometheus.Addresses); got != want {
		t.Errorf("prometheus.io/port is %q, want %q", got, want)
	}
}

// TestSnapshot: the file lies in a folder that outlives the container, and that is all that the pod can write to.
func TestSnapshot(t *testing.T) {
	spec, container := pod(t)
	mount, volume := container.VolumeMounts[1], spec.Volumes[1]
	if mount.Name != volume.Name || mount.ReadOnly || volume.EmptyDir == nil || volume.EmptyDir.Medium != "" {
		t.Errorf("%+v is of %+v", mount, volume)
	}
	file := corefile(t).Listeners[0].Blocks[0].Sources[0].Objects.Snapshot.Path
	if path.Dir(file) != mount.MountPath {
		t.Errorf("the snapshot %q is not in %s", file, mount.MountPath)
	}
}

// TestPeers: the overlay in which replicas give each other their snapshots has the Corefile of the base, and asks the address of the
// Service.
func TestPeers(t *testing.T) {
	var k struct{ Patches []struct{ Patch string } }
	if err := yaml.Unmarshal(read(t, "overlays/peers/kustomization.yaml"), &k); err != nil {
		t.Fatal(err)
	}
	var patch corev1.ConfigMap
	if err := yaml.UnmarshalStrict([]byte(k.Patches[0].Patch), &patch); err != nil {
		t.Fatal(err)
	}
	var rest, lines []string
	for line := range strings.Lines(patch.Data["Corefile"]) {
		if fields := strings.Fields(line); fields[0] == "snapshot" && len(fields) > 2 {
			lines = append(lines, fields[1])
			if fields[1] == "peers" && fields[2] != the[*corev1.Service](t).Spec.ClusterIP+":9154" {
				t.Errorf("it asks %s", fields[2])
			}
			continue
		}
		rest = append(rest, line)
	}
	base := the[*corev1.ConfigMap](t)
	if diff := cmp.Diff(strings.TrimSpace(base.Data["Corefile"]), strings.TrimSpace(strings.Join(rest, ""))); diff != "" || patch.Name != base.Name {
		t.Errorf("without peers it is not that of the base (-base +overlay):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"peers", "listen", "secret", "tls"}, lines); diff != "" {
		t.Errorf("lines of snapshot (-want +got):\n%s", diff)
	}
}

// TestClusterIP: the address stands in one place.
func TestClusterIP(t *testing.T) {
	address := the[*corev1.Service](t).Spec.ClusterIP
	if ip, err := netip.ParseAddr(address); err != nil || !ip.IsPrivate() {
		t.Errorf("clusterIP %q is not a private address", address)
	}
	names, err := filepath.Glob("base/*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, name := range names {
		count += bytes.Count(read(t, name), []byte(address))
	}
	if count != 1 {
		t.Errorf("%s is written %d times", address, count)
	}
}

// TestDockerfile: what prove-image.sh cannot see, since it builds with the Go of the machine.
func TestDockerfile(t *testing.T) {
	text := string(read(t, "Dockerfile"))
	language := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(read(t, "../go.mod")))[1]
	if !strings.Contains(text, " golang:"+language+" ") {
		t.Errorf("the image is not built with golang:%s", language)
	}
	_, last, _ := strings.Cut(text, "\nFROM scratch\n")
	for _, want := range []string{"\nUSER 65532:65532\n", "\nENTRYPOINT [\"/clusterdns\"]\n"} {
		if !strings.Contains(last, want) {
			t.Errorf("the last stage has no%s", want)
		}
	}
}
