package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"
)

const distributionsFolder = "../../testdata/peers/differ/distributions/"

// ofDistribution is the ConfigMaps of a distribution, as kubectl get -o json has them.
func ofDistribution(t testing.TB, folder string) []byte {
	t.Helper()
	type object map[string]any
	data := func(folder string) map[string]string {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil
		}
		found := map[string]string{}
		for _, e := range entries {
			if e.IsDir() || e.Name() == "names" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found[e.Name()] = string(text)
		}
		return found
	}
	items := []object{{"kind": "ConfigMap", "metadata": object{"name": "coredns"}, "data": data(folder)}}
	if custom := data(filepath.Join(folder, "custom")); custom != nil {
		items = append(items, object{"kind": "ConfigMap", "metadata": object{"name": "coredns-custom"}, "data": custom})
	}
	content, err := json.Marshal(object{"kind": "List", "items": items})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestMigrateDistributions: the values for what each distribution ships mean the same as its ConfigMaps.
func TestMigrateDistributions(t *testing.T) {
	folders, err := filepath.Glob(distributionsFolder + "*")
	if err != nil || len(folders) < 14 {
		t.Fatal(folders, err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			m, err := ReadMigration("stdin", ofDistribution(t, folder), Settings{Port: 53})
			if err != nil || len(m.Report.Errors) > 0 {
				t.Fatal(err, m.Report.Errors)
			}
			text, err := m.Values("made here\n")
			if err != nil {
				t.Fatal(err)
			}
			var v chartValues
			if err := yaml.Unmarshal(text, &v); err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			var maps []configMap
			maps = append(maps, configMap{Data: map[string]string{"Corefile": v.corefile()}})
			for _, f := range v.ZoneFiles {
				maps[0].Data[f.Filename] = f.Contents
			}
			if all, err := configMaps(ofDistribution(t, folder)); err == nil && len(v.ExtraVolumes) > 0 {
				maps = append(maps, all[1:]...)
			}
			files, err := mount(maps)
			if err != nil {
				t.Fatal(err)
			}
			w, _ := here()
			again := w.pod(files).examine("/etc/coredns/Corefile", []byte(v.corefile()), Settings{Port: 53})
			if diff := cmp.Diff(meaning(m.Report), meaning(again)); diff != "" {
				t.Errorf("-before +after:\n%s\n%s", diff, text)
			}
		})
	}
}

// meaning is the summary without places, and in any order: imports come first in what a chart writes.
func meaning(r *Report) []string {
	text := regexp.MustCompile(` \(\S+:\d+\)`).ReplaceAllString(r.Config.Summary(), "")
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return lines
}

// TestValuesOfAll: every Corefile of the tests that can be read can be written as values, or says why not.
func TestValuesOfAll(t *testing.T) {
	files, err := filepath.Glob(corefiles + "*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	written := 0
	for _, name := range files {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name != "Corefile" {
				continue
			}
			c, err := readWritten(name, f.Data)
			if err != nil {
				continue
			}
			v, err := c.values()
			if err == nil {
				_, err = v.text(c, "")
			}
			if err == nil {
				written++
			} else if !strings.Contains(err.Error(), "overlay") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if written < 30 {
		t.Errorf("only %d were written", written)
	}
}

// TestDistribution: who has written a ConfigMap is seen by it.
func TestDistribution(t *testing.T) {
	const corefile = "data: {Corefile: \". {\\n whoami\\n}\\n\"}\nkind: ConfigMap\n"
	for text, want := range map[string]string{
		corefile + "metadata: {name: coredns, namespace: kube-system}\n":                                         "kubeadm kube-system/coredns ",
		corefile + "metadata: {name: dns-default, namespace: openshift-dns}\n":                                   "OpenShift openshift-dns/dns-default ",
		corefile + "metadata: {name: rke2-coredns-rke2-coredns}\n":                                               "RKE2 kube-system/rke2-coredns-rke2-coredns ",
		corefile + "metadata: {name: coredns, labels: {eks.amazonaws.com/component: coredns}}\n":                 "EKS kube-system/coredns ",
		corefile + "metadata: {name: dns-coredns, namespace: dns, labels: {app.kubernetes.io/managed-by: Helm}}": "Helm dns/dns-coredns ",
		"data: {Corefile: \". {\\n whoami\\n}\\n\", NodeHosts: a}\nmetadata: {name: coredns}\nkind: ConfigMap\n---\n" +
			"kind: ConfigMap\nmetadata: {name: coredns-custom}\ndata: {a.server: \"\"}\n": "k3s kube-system/coredns coredns-custom",
		". {\n import custom/*.override\n whoami\n}\n":      "unknown distribution kube-system/ coredns-custom",
		corefile + "metadata: {name: mine, namespace: dns}": "unknown distribution dns/mine ",
	} {
		m, err := ReadMigration("stdin", []byte(text), Settings{Port: 53})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := m.Distribution.Name + " " + m.Namespace + "/" + m.ConfigMap + " " + m.Custom; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// FuzzValues: whatever a Corefile has, the values that are made of it are read as the same Corefile again.
func FuzzValues(f *testing.F) {
	f.Add("import a\n(s) {\n errors\n}\na.test:53 tls://b.test:853 {\n import s\n log . \"{remote} #\\\" x\" {\n  class error\n }\n}\n")
	f.Add(". {\n template ANY ANY {\n  answer \"a b\"\n }\n {$X} y\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := readWritten("Corefile", []byte(text))
		if err != nil {
			return
		}
		v, err := c.values()
		if err != nil {
			return
		}
		out, err := v.text(c, "")
		if err != nil {
			return
		}
		var again chartValues
		if err := yaml.Unmarshal(out, &again); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if again.corefile() != v.corefile() {
			t.Errorf("%q becomes %q", v.corefile(), again.corefile())
		}
	})
}
