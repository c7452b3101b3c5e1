package manifests

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/clusterdns/clusterdns/watch/object"
	"github.com/clusterdns/clusterdns/zones"
)

var update = flag.Bool("update", false, "rewrite what the cases of testdata/manifests expect")

// mapFS is a folder of files.
func mapFS(files map[string]string) fstest.MapFS {
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return folder
}

// mustRead reads a folder, with everything kept.
func mustRead(t *testing.T, files fs.FS, o object.Selection) Reading {
	t.Helper()
	r, err := readManifests(files, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kept is what a reading has of a kind.
func kept[V object.Object](r Reading, kind zones.Kinds) (list []V) {
	for _, o := range r.Objects[kind] {
		list = append(list, o.(V))
	}
	return list
}

// dump is a reading for the eye.
func dump(r Reading) string {
	var b strings.Builder
	line := func(words ...any) { fmt.Fprintln(&b, words...) }
	for _, n := range kept[*object.Namespace](r, zones.Namespaces) {
		labels := ""
		for _, name := range slices.Sorted(maps.Keys(n.Labels)) {
			labels += " " + name + "=" + n.Labels[name]
		}
		line("namespace", n.Name+labels)
	}
	for _, s := range kept[*object.Service](r, zones.Services) {
		words := "service " + s.Namespace + "/" + s.Name
		if s.Headless {
			words += " headless"
		}
		if s.ExternalName != "" {
			words += " is " + s.ExternalName
		}
		if s.Flaw != object.Flawless {
			words += ": " + s.Flaw.String()
		}
		line(words + addrWords(s.ClusterIPs) + portWords(s.Ports))
	}
	for _, s := range kept[*object.Slice](r, zones.Slices) {
		words := "slice " + s.Namespace + "/" + s.Name + " of " + s.Service + portWords(s.Ports)
		if s.Unready > 0 {
			words += fmt.Sprintf(", %d not ready", s.Unready)
		}
		line(words)
		for e := range s.Endpoints.All {
			words := "  " + e.Addr.String()
			for _, part := range []struct{ name, text string }{{"hostname", e.Hostname}, {"pod", e.Pod}, {"zone", e.Zone}} {
				if part.text != "" {
					words += " " + part.name + "=" + part.text
				}
			}
			line(words)
		}
	}
	for _, p := range kept[*object.Pod](r, zones.PodObjects) {
		line("pod " + p.Namespace + "/" + p.Name + addrWords(p.Addrs))
	}
	for _, f := range r.faults {
		line(f)
	}
	for _, f := range r.remarks {
		line("remark:", f)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Ignored)) {
		line("ignored:", r.Ignored[kind], kind)
	}
	return b.String()
}

func addrWords[T fmt.Stringer](list []T) (words string) {
	for _, addr := range list {
		words += " " + addr.String()
	}
	return words
}

func portWords(list []object.Port) (words string) {
	for _, p := range list {
		words += fmt.Sprintf(" %s:%d/%s", p.Name, p.Number, p.Protocol)
	}
	return words
}

// TestReadManifests reads each case of testdata/manifests: its files, to the objects that they stand for. A comment of
// the form "options: namespaces=a,b labels=x" in a case's head sets options.
func TestReadManifests(t *testing.T) {
	cases, err := filepath.Glob("../../testdata/manifests/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(text)
			folder, want, at := fstest.MapFS{}, "", -1
			for i, f := range archive.Files {
				if f.Name == "objects" {
					want, at = string(f.Data), i
					continue
				}
				folder[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
			}
			o := caseSelection(t, string(archive.Comment))
			r := mustRead(t, folder, o)
			got := dump(r)
			if again := dump(mustRead(t, folder, o)); again != got {
				t.Errorf("two readings differ (-first +second):\n%s", cmp.Diff(got, again))
			}
			if *update {
				if at < 0 {
					at, archive.Files = len(archive.Files), append(archive.Files, txtar.File{Name: "objects"})
				}
				archive.Files[at].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCompared reads the manifests that testdata/apiserver compares with a real API server: what each stands for, and
// why which are refused. What is more than a screen is counted.
func TestCompared(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/manifests/compared/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, updated := map[string]string{}, txtar.Archive{Comment: archive.Comment}
		for _, f := range archive.Files {
			want[f.Name] = string(f.Data)
		}
		for _, f := range archive.Files {
			name, ok := strings.CutSuffix(f.Name, ".yaml")
			if !ok {
				continue
			}
			files := fstest.MapFS{"case.yaml": &fstest.MapFile{Data: f.Data, Mode: 0o644}}
			got := abridged(dump(mustRead(t, files, object.Selection{})))
			updated.Files = append(updated.Files, f, txtar.File{Name: name + ".objects", Data: []byte(got)})
			if diff := cmp.Diff(want[name+".objects"], got); diff != "" && !*update {
				t.Errorf("%s, %s (-want +got):\n%s", filepath.Base(path), name, diff)
			}
		}
		if *update {
			if err := os.WriteFile(path, txtar.Format(&updated), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// abridged is a dump without what every reading has, and with the number of its endpoints in the place of many.
func abridged(dump string) string {
	var kept []string
	endpoints := 0
	for line := range strings.Lines(dump) {
		if strings.HasPrefix(line, "  ") {
			if endpoints++; strings.Count(dump, "\n") > 100 {
				continue
			}
		}
		if line != "namespace default\n" && !strings.HasPrefix(line, "service default/kubernetes ") {
			kept = append(kept, line)
		}
	}
	if endpoints > 100 {
		kept = append(kept, fmt.Sprintf("%d endpoints\n", endpoints))
	}
	return strings.Join(kept, "")
}

func caseSelection(t *testing.T, head string) object.Selection {
	o := object.Selection{PodNames: true, Zonal: true, VerifyPods: true}
	for line := range strings.Lines(head) {
		words, found := strings.CutPrefix(line, "options: ")
		if !found {
			continue
		}
		for word := range strings.FieldsSeq(words) {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "namespaces":
				o.Namespaces = value
			case "namespace_labels":
				o.NamespaceLabels = value
			case "labels":
				o.Labels = value
			case "noendpoints":
				o.NoEndpoints = true
			default:
				t.Fatalf("unknown option %q", name)
			}
		}
	}
	return o
}

func TestReadManifestsSaysWhatCannotWork(t *testing.T) {
	if _, err := readManifests(mapFS(nil), object.Selection{Labels: "a in ("}); err == nil {
		t.Error("a selector that cannot be parsed is no error")
	}
	if _, err := readManifests(os.DirFS(filepath.Join(t.TempDir(), "gone")), object.Selection{}); err == nil {
		t.Error("a folder that does not exist is no error")
	}
}

// TestSampleCluster reads the cluster of the demo. Its addresses are printed in the README and must not change.
func TestSampleCluster(t *testing.T) {
	r := mustRead(t, os.DirFS("../../testdata/cluster"), object.Selection{VerifyPods: true})
	got := dump(r)
	const path = "../../testdata/manifests/cluster.objects"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if len(r.faults) > 0 || len(r.Ignored) > 0 {
		t.Errorf("faults %v, ignored %v, want none", r.faults, r.Ignored)
	}
}

// FuzzReadManifests reads any bytes as YAML and as JSON. Whatever comes out is what the rest of the package relies on:
// valid names and addresses, no address handed out twice, the same at a second reading.
func FuzzReadManifests(f *testing.F) {
	cases, _ := filepath.Glob("../../testdata/manifests/*.txtar")
	samples, _ := filepath.Glob("../../testdata/cluster/*.yaml")
	for _, path := range samples {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, path := range cases {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		folder := mapFS(map[string]string{"a.yaml": string(text), "b.json": string(text), "k/kustomization.yaml": string(text)})
		o := object.Selection{PodNames: true, Zonal: true, VerifyPods: true}
		r, err := readManifests(folder, o)
		if err != nil {
			t.Fatal(err)
		}
		owners := map[string]string{}
		for _, s := range kept[*object.Service](r, zones.Services) {
			if !object.ValidLabel(s.Name) || !object.ValidLabel(s.Namespace) ||
				s.ExternalName != "" && !object.ValidName(s.ExternalName) {
				t.Errorf("bad name in %+v", s)
			}
			for _, addr := range s.ClusterIPs {
				name := s.Namespace + "/" + s.Name
				if owner := owners[addr.String()]; owner != "" && owner != name {
					t.Errorf("%s is the address of %s and %s", addr, owner, name)
				}
				owners[addr.String()] = name
			}
		}
		for _, s := range kept[*object.Slice](r, zones.Slices) {
			for e := range s.Endpoints.All {
				if !e.Addr.IsValid() || e.Hostname != "" && !object.ValidLabel(e.Hostname) {
					t.Errorf("bad endpoint %+v", e)
				}
			}
		}
		for _, fault := range r.faults {
			if fault.line < 1 && fault.file != "" {
				t.Errorf("no line in %q", fault)
			}
		}
		if diff := cmp.Diff(dump(r), dump(mustRead(t, folder, o))); diff != "" {
			t.Errorf("two readings differ:\n%s", diff)
		}
	})
}
