package manifests

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	goyaml "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// document is one YAML or JSON document of a file.
type document struct {
	file string // slash-separated, below the folder of manifests
	line int    // of its first byte, from 1
	text []byte
	root *goyaml.Node // parsed when a line is looked for; nil until then
}

// manifest is one object as it is written: a document, or a member of a List.
type manifest struct {
	document *document
	path     string // of the object in its document, "" or "items[3]"
	json     []byte
}

// manifestFiles are the files to read, in a fixed order. Hidden folders are not entered: the folder of a mounted
// ConfigMap keeps its versions in them, and links to the current one in sight. Links to files are followed, links to
// folders are not, for they can make a ring.
//
// buildFiles are those by which a tool makes manifests.
func manifestFiles(files fs.FS) (names, buildFiles []string, err error) {
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && name == ".":
			return err
		case err != nil: // a folder that went away while it was walked; what is in it went too
			return nil
		case name != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case isBuildFile(name) && !entry.IsDir():
			buildFiles = append(buildFiles, name)
		}
		if !isManifest(name) {
			return nil
		}
		if info, err := fs.Stat(files, name); err == nil && info.Mode().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	return names, buildFiles, err
}

func isManifest(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
		base := strings.TrimSuffix(path.Base(name), path.Ext(name))
		return base != "kustomization" // it often has no kind
	}
	return false
}

// splitDocuments cuts a file into its documents, leaving out those of comments only.
func splitDocuments(file string, text []byte) ([]*document, []fault) {
	if path.Ext(file) == ".json" {
		return splitJSON(file, text)
	}
	return splitYAML(file, text), nil
}

// yamlMarker begins a line that ends a document, also inside of a block scalar (YAML 1.2.2 section 9.1).
var yamlMarker = regexp.MustCompile(`(?m)^(---|\.\.\.)([ \t\r]|$)`)

func splitYAML(file string, text []byte) (documents []*document) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	start, line := 0, 1
	cut := func(end int) {
		part := text[start:end]
		if !blankYAML(part) {
			documents = append(documents, &document{file: file, line: line, text: part})
		}
		line += bytes.Count(part, []byte("\n"))
	}
	for _, at := range yamlMarker.FindAllIndex(text, -1) {
		cut(at[0])
		start = at[0] + len("---")
	}
	cut(len(text))
	return documents
}

// blankYAML reports whether part has nothing but comments, directives and white space.
func blankYAML(part []byte) bool {
	for line := range bytes.Lines(part) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

func splitJSON(file string, text []byte) (documents []*document, faults []fault) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	for end, line := 0, 1; ; {
		var part json.RawMessage
		err := decoder.Decode(&part)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		rest := text[end:]
		space := rest[:len(rest)-len(bytes.TrimLeft(rest, " \t\r\n"))]
		line += bytes.Count(space, []byte("\n"))
		if err != nil {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				line = 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
			}
			return documents, []fault{{file, line, err.Error()}}
		}
		documents = append(documents, &document{file: file, line: line, text: part})
		line += bytes.Count(part, []byte("\n"))
		end = int(decoder.InputOffset())
	}
}

// manifests are the objects of a document: itself, or the members of a List.
func (d *document) manifests() ([]manifest, *fault) {
	asJSON := d.text
	if path.Ext(d.file) != ".json" {
		var err error
		if asJSON, err = yaml.YAMLToJSONStrict(d.text); err != nil {
			var ok bool
			if asJSON, ok = d.merged(); !ok {
				return nil, cmp.Or(d.templateFault(), d.syntaxFault(err))
			}
		}
	}
	return (manifest{document: d, json: asJSON}).members()
}

// mergeKey puts the fields of another mapping into its own, which a field that is written overrides (the YAML type
// repository has it as !!merge).
const mergeKey = "<<"

// merged is a document with merge keys as JSON: the strict parser takes a field that overrides a merged one for written
// twice. It is false when a field is.
func (d *document) merged() (asJSON []byte, ok bool) {
	var root goyaml.Node
	if goyaml.Unmarshal(d.text, &root) != nil || !mergesFirst(&root) {
		return nil, false
	}
	text, err := goyaml.Marshal(&root)
	if err != nil {
		return nil, false
	}
	asJSON, err = yaml.YAMLToJSON(text)
	return asJSON, err == nil
}

// mergesFirst moves the merge keys of every mapping to its front, where the parser lets what comes behind override them.
// It is false when a key is there twice.
func mergesFirst(node *goyaml.Node) bool {
	if node.Kind == goyaml.MappingNode {
		var merges, others []*goyaml.Node
		seen := map[string]bool{}
		for n := 0; n+1 < len(node.Content); n += 2 {
			key, value := node.Content[n], node.Content[n+1]
			if seen[key.Value] {
				return false
			}
			seen[key.Value] = true
			if key.Value == mergeKey {
				merges = append(merges, key, value)
			} else {
				others = append(others, key, value)
			}
		}
		node.Content = append(merges, others...)
	}
	for _, child := range node.Content {
		if !mergesFirst(child) {
			return false
		}
	}
	return true
}

// members opens a List. The members of a typed list, such as the API's own ServiceList, have their kind from the list.
func (m manifest) members() ([]manifest, *fault) {
	var list struct {
		metav1.TypeMeta
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(m.json, &list); err != nil || !strings.HasSuffix(list.Kind, "List") {
		return []manifest{m}, nil // decode finds what is wrong with it
	}
	var items []manifest
	for n, part := range list.Items {
		if kind := strings.TrimSuffix(list.Kind, "List"); kind != "" {
			var err error
			if part, err = withKind(part, metav1.TypeMeta{Kind: kind, APIVersion: list.APIVersion}); err != nil {
				return nil, &fault{m.document.file, m.document.line, err.Error()}
			}
		}
		items = append(items, manifest{m.document, fmt.Sprintf("items[%d]", n), part})
	}
	return items, nil
}

// withKind gives an object without a kind the one of its list.
func withKind(part json.RawMessage, list metav1.TypeMeta) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(part, &fields); err != nil || fields == nil || fields["kind"] != nil {
		return part, nil
	}
	fields["kind"], _ = json.Marshal(list.Kind)
	fields["apiVersion"], _ = json.Marshal(list.APIVersion)
	return json.Marshal(fields)
}
