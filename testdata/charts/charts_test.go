package charts

import (
	"bufio"
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const deploy = "../../deploy/"

// A server is a real API server that checks objects and keeps none.
type server struct {
	objects dynamic.Interface
	mapper  meta.ResettableRESTMapper
}

func startServer(t *testing.T) *server {
	t.Helper()
	binary, dir := build(t, "../apiserver"), t.TempDir()
	command := exec.Command(binary, "-dir", dir)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the API server did not become ready: %q, %v", line, err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{} // one set of values has externalIPs, which are deprecated
	s := &server{}
	if s.objects, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	resources, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(resources))
	return s
}

// build compiles the command in a folder of another module.
func build(t *testing.T, folder string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "command")
	command := exec.Command("go", "build", "-o", binary, ".")
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", folder, err, out)
	}
	return binary
}

// create gives an object to the API server, which refuses unknown and repeated fields.
func (s *server) create(o *unstructured.Unstructured, options metav1.CreateOptions) error {
	kind := o.GroupVersionKind()
	mapping, err := s.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	options.FieldValidation = metav1.FieldValidationStrict
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = s.objects.Resource(mapping.Resource).Namespace(o.GetNamespace()).Create(ctx, o, options)
	return err
}

// checks lets the API server look at all objects as `kubectl apply --dry-run=server --validate=strict` does. A pod must pass the Pod
// Security Standard of the namespace level.
func (s *server) checks(t *testing.T, objects []*unstructured.Unstructured, level string) {
	t.Helper()
	names := map[string]bool{}
	for _, o := range objects {
		what := o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
		if names[what] {
			t.Errorf("%s is there twice", what)
		}
		names[what] = true
		if err := s.create(o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		template, found, err := unstructured.NestedMap(o.Object, "spec", "template")
		if err != nil || !found {
			continue
		}
		pod := &unstructured.Unstructured{Object: template}
		pod.SetAPIVersion("v1")
		pod.SetKind("Pod")
		pod.SetName("pod")
		pod.SetNamespace(level)
		unstructured.RemoveNestedField(pod.Object, "spec", "priorityClassName") // not of every namespace
		if err := s.create(pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Errorf("pod of %s: %v", what, err)
		}
	}
}

func parse(t *testing.T, text []byte) (objects []*unstructured.Unstructured) {
	t.Helper()
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if err != nil {
			return objects
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &o.Object); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// render is the objects of the chart for a release.
func render(t *testing.T, values []byte) (objects []*unstructured.Unstructured, err error) {
	t.Helper()
	chart, err := loader.Load(deploy + "chart")
	if err != nil {
		t.Fatal(err)
	}
	v, err := chartutil.ReadValues(values)
	if err != nil {
		t.Fatal(err)
	}
	release := chartutil.ReleaseOptions{Name: "dns", Namespace: "kube-system", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(chart, v, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Ext(name) == ".yaml" {
			objects = append(objects, parse(t, []byte(files[name]))...)
		}
	}
	return objects, nil
}

func kustomize(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

// TestDeploy lets one API server check all that deploy can become.
func TestDeploy(t *testing.T) {
	s := startServer(t)
	for _, o := range parse(t, read(t, "servicemonitors.yaml")) {
		if err := s.create(o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, level := range []string{"restricted", "monitoring"} { // the second is of the values `monitor`
		namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
		namespace.SetName(level)
		namespace.SetLabels(map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
		if err := s.create(namespace, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "the custom resource", func() bool {
		s.mapper.Reset()
		_, err := s.mapper.KindFor(schema.GroupVersionResource{Group: "monitoring.coreos.com", Version: "v1", Resource: "servicemonitors"})
		return err == nil
	})

	sets, err := filepath.Glob("../chart/values/*.yaml")
	if err != nil || len(sets) == 0 {
		t.Fatalf("%d sets of values, %v", len(sets), err)
	}
	for _, set := range sets {
		t.Run(strings.TrimSuffix(filepath.Base(set), ".yaml"), func(t *testing.T) {
			objects, err := render(t, read(t, set))
			if err != nil {
				t.Fatal(err)
			}
			s.checks(t, objects, "restricted")
		})
	}
	for _, folder := range []string{"base", "overlays/beside", "overlays/custom", "overlays/ipv6", "overlays/scaled", "overlays/proportional",
		"overlays/peers"} {
		t.Run(folder, func(t *testing.T) { s.checks(t, kustomize(t, deploy+folder), "restricted") })
	}
	// It has the network of the node, which only the level "privileged" allows: a namespace without a level, as kube-system is.
	t.Run("overlays/node-local", func(t *testing.T) { s.checks(t, kustomize(t, deploy+"overlays/node-local"), "kube-system") })
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}
