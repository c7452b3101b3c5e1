package kustomize

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	repository    = "../.."
	distributions = "../peers/differ/distributions"
)

// object is what is looked at of an object.
type object struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	Spec     struct {
		ClusterIP string
		Selector  map[string]any
		Ports     []struct {
			Name, Protocol string
			Port           int
			TargetPort     any
		}
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Containers []struct {
					Image string
					Ports []struct {
						Name          string
						ContainerPort int
					}
					VolumeMounts                  []struct{ Name, MountPath string }
					LivenessProbe, ReadinessProbe *struct{ HTTPGet struct{ Port string } }
				}
				Volumes []struct {
					Name      string
					ConfigMap struct{ Name string }
					EmptyDir  *struct{}
				}
			}
		}
	}
}

// build is the objects of an overlay by kind and name.
func build(t *testing.T, dir string) map[string]object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]object{}
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := yaml.Unmarshal(text, &o); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		all[o.Kind+"/"+o.Metadata.Name] = o
	}
	return all
}

// configMaps are those of a distribution, as kubectl get -o json has them.
func configMaps(t *testing.T, folder string) string {
	t.Helper()
	read := func(folder string) map[string]string {
		data := map[string]string{}
		entries, _ := os.ReadDir(folder) // most have no folder custom
		for _, e := range entries {
			if e.IsDir() || e.Name() == "names" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			data[e.Name()] = string(text)
		}
		return data
	}
	items := []any{map[string]any{"kind": "ConfigMap", "metadata": map[string]string{"name": "coredns"}, "data": read(folder)}}
	if custom := read(filepath.Join(folder, "custom")); len(custom) > 0 {
		items = append(items, map[string]any{"kind": "ConfigMap", "metadata": map[string]string{"name": "coredns-custom"}, "data": custom})
	}
	content, err := json.Marshal(map[string]any{"kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestMigrate: the overlays of every distribution are built, and fit together.
func TestMigrate(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "clusterdns")
	command := exec.Command("go", "build", "-o", binary, ".")
	command.Dir = repository
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	folders, err := filepath.Glob(distributions + "/*")
	if err != nil || len(folders) < 14 {
		t.Fatal(folders, err)
	}
	for _, folder := range folders {
		for _, shadow := range []string{"", "10.96.0.11"} {
			t.Run(filepath.Base(folder)+shadow, func(t *testing.T) {
				dir := t.TempDir()
				arguments := []string{"migrate", "-base", repository + "/deploy/base", "-image", "registry.example/c:v1", "-o", "kustomize", dir}
				if shadow != "" {
					arguments = append(arguments, "-shadow", shadow)
				}
				command := exec.Command(binary, arguments...)
				command.Stdin = strings.NewReader(configMaps(t, folder))
				if out, err := command.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				check(t, build(t, filepath.Join(dir, "beside")), build(t, filepath.Join(dir, "join")), shadow)
			})
		}
	}
}

// check holds both overlays to each other.
func check(t *testing.T, beside, join map[string]object, shadow string) {
	t.Helper()
	if a, b := slices.Sorted(maps.Keys(beside)), slices.Sorted(maps.Keys(join)); !slices.Equal(a, b) {
		t.Errorf("beside has %q and join %q", a, b)
	}
	service, deployment := beside["Service/clusterdns"], beside["Deployment/clusterdns"]
	if _, there := beside["Service/kube-dns"]; there || service.Spec.ClusterIP != "" {
		t.Error("the Service in place is touched")
	}
	labels, joined := deployment.Spec.Template.Metadata.Labels, join["Deployment/clusterdns"].Spec.Template.Metadata.Labels
	if labels["k8s-app"] != "clusterdns" || joined["k8s-app"] != "kube-dns" {
		t.Errorf("labels %v, and joined %v", labels, joined)
	}
	if s := service.Spec.Selector; len(s) != 1 || s["app.kubernetes.io/name"] != labels["app.kubernetes.io/name"] {
		t.Errorf("the Service selects %v, and pods have %v", s, labels)
	}
	// Selectors of a Deployment cannot change: both overlays have the same.
	before, _ := json.Marshal(deployment.Spec.Selector)
	after, _ := json.Marshal(join["Deployment/clusterdns"].Spec.Selector)
	if string(before) != `{"matchLabels":{"app.kubernetes.io/name":"clusterdns"}}` || string(after) != string(before) {
		t.Errorf("%s and %s", before, after)
	}
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]
	if container.Image != "registry.example/c:v1" {
		t.Error(container.Image)
	}
	ports := map[string]int{}
	for _, p := range container.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for _, p := range service.Spec.Ports[:2] {
		if p.Port != 53 || p.TargetPort != float64(container.Ports[0].ContainerPort) {
			t.Errorf("%+v leads to none of %v", p, ports)
		}
	}
	if container.Ports[0].ContainerPort != container.Ports[1].ContainerPort {
		t.Errorf("%v", ports)
	}
	for _, probe := range []*struct{ HTTPGet struct{ Port string } }{container.LivenessProbe, container.ReadinessProbe} {
		if probe != nil && ports[probe.HTTPGet.Port] == 0 {
			t.Errorf("a probe asks %q of %v", probe.HTTPGet.Port, ports)
		}
	}
	volumes := map[string]string{}
	for _, v := range pod.Volumes {
		if volumes[v.Name] = v.ConfigMap.Name; v.EmptyDir != nil {
			volumes[v.Name] = "an empty folder"
		}
	}
	for _, m := range container.VolumeMounts {
		if volumes[m.Name] == "" {
			t.Errorf("no volume is %q", m.Name)
		}
	}
	config, own := beside["ConfigMap/clusterdns"]
	if shadow == "" && (own || volumes["config"] != "coredns") {
		t.Errorf("the Corefile is that of %q", volumes["config"])
	}
	if shadow != "" && (volumes["config"] != "clusterdns" || !strings.Contains(config.Data["Corefile"], "shadow "+shadow)) {
		t.Errorf("the Corefile is that of %q: %s", volumes["config"], config.Data["Corefile"])
	}
}
