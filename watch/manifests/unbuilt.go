package manifests

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Files that say that the manifests of a folder are made from what is in it.
const chartFile = "Chart.yaml"

var kustomizationFiles = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// isBuildFile reports whether a file is one of them.
func isBuildFile(name string) bool {
	base := path.Base(name)
	return base == chartFile || slices.Contains(kustomizationFiles, base)
}

// withoutUnbuilt leaves out the files of folders whose manifests are yet to be made, and reports each folder once: a
// patch would be a service that is written twice, and a template is no YAML.
func (c *controlPlane) withoutUnbuilt(files fs.FS, names, buildFiles []string) []string {
	var folders []string
	for _, name := range buildFiles {
		folder := path.Dir(name)
		if slices.ContainsFunc(folders, func(f string) bool { return below(folder, f) }) {
			continue
		}
		if f := unbuilt(files, name); f != nil {
			c.report(f)
			folders = append(folders, folder)
		}
	}
	if len(folders) == 0 {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return below(path.Dir(name), f) })
	})
}

// below reports whether a folder is another one or in it.
func below(folder, other string) bool {
	return other == "." || folder == other || strings.HasPrefix(folder, other+"/")
}

// unbuilt is the fault of a folder that is to be built first; nil where its files are what a build would give.
func unbuilt(files fs.FS, name string) *fault {
	if path.Base(name) == chartFile {
		if info, err := fs.Stat(files, path.Join(path.Dir(name), "templates")); err != nil || !info.IsDir() {
			return nil // a manifest may be called so
		}
		return &fault{name, 1, "this is a Helm chart: render it first (helm template CHART | clusterdns records -f -); " +
			"its files are left out"}
	}
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil
	}
	if line, why := buildsMore(files, path.Dir(name), text); why != "" {
		return &fault{name, line, "this is a kustomize tree, and " + why + ": build it first " +
			"(kustomize build DIR | clusterdns records -f -); its files are left out"}
	}
	return nil
}

// plainKeys are those of a kustomization that changes nothing of its resources.
var plainKeys = []string{"apiVersion", "kind", "metadata", "resources"}

// buildsMore says what a kustomization does besides naming files that are here, and in which line; "" for nothing.
func buildsMore(files fs.FS, folder string, text []byte) (line int, why string) {
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return 1, "cannot be read"
	}
	line = 1
	for l := range bytes.Lines(text) {
		key, _, isKey := strings.Cut(string(l), ":")
		if _, has := fields[key]; isKey && has && !slices.Contains(plainKeys, key) {
			return line, fmt.Sprintf("%q changes what is applied", key)
		}
		line++
	}
	list, _ := fields["resources"].([]any)
	for _, r := range list {
		resource, _ := r.(string)
		if _, err := fs.Stat(files, path.Join(folder, resource)); err != nil {
			return 1, fmt.Sprintf("its resource %q is not in this folder", resource)
		}
	}
	return 1, ""
}

// templateFault is the fault of a document that is a template of Helm, or of Go; nil when it is none.
func (d *document) templateFault() *fault {
	at := bytes.Index(d.text, []byte("{{"))
	if at < 0 {
		return nil
	}
	line := d.line + bytes.Count(d.text[:at], []byte("\n"))
	return &fault{d.file, line, "this is a template: render it first (helm template CHART | clusterdns records -f -)"}
}
