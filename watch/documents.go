package watch

//lint:file-ignore SA1019 Endpoints are deprecated, and still written by hand for services without a selector

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
	"strconv"
	"strings"

	goyaml "go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubejson "k8s.io/apimachinery/pkg/runtime/serializer/json"
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

// fault is what is wrong with a manifest, and where.
type fault struct {
	file  string // "" when it is none's alone
	line  int
	words string
}

func (f fault) place() string { return f.file + ":" + strconv.Itoa(f.line) }

func (f fault) String() string {
	if f.file == "" {
		return f.words
	}
	return f.place() + ": " + f.words
}

// manifestFiles are the files to read, in a fixed order. Hidden folders are not entered: the folder of a mounted ConfigMap keeps its
// versions in them, and links to the current one in sight. Links to files are followed, links to folders are not, for they can make a ring.
func manifestFiles(files fs.FS) (names []string, err error) {
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
		case !isManifest(name):
			return nil
		}
		if info, err := fs.Stat(files, name); err == nil && info.Mode().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

func isManifest(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
		base := strings.TrimSuffix(path.Base(name), path.Ext(name))
		return base != "kustomization" // it is often there, often says no kind, and names files that are read anyway
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
			return nil, d.syntaxFault(err)
		}
	}
	return (manifest{document: d, json: asJSON}).members()
}

// members opens a List. The members of a typed list, such as the API's own ServiceList, have their kind from the list.
func (m manifest) members() ([]manifest, *fault) {
	var list struct {
		metav1.TypeMeta
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(m.json, &list); err != nil || !strings.HasSuffix(list.Kind, "List") {
		return []manifest{m}, nil // decode says what is wrong with it
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

// manifestDecoder reads the kinds that names are made of.
type manifestDecoder struct {
	scheme *runtime.Scheme
	codec  *kubejson.Serializer
}

func newManifestDecoder() *manifestDecoder {
	s := runtime.NewScheme()
	s.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Service{}, &corev1.Endpoints{}, &corev1.Namespace{}, &corev1.Pod{})
	s.AddKnownTypes(appsv1.SchemeGroupVersion, &appsv1.Deployment{}, &appsv1.ReplicaSet{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{})
	s.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{})
	s.AddKnownTypeWithName(importsVersion.WithKind("ServiceImport"), &serviceImport{})
	return &manifestDecoder{s, kubejson.NewSerializerWithOptions(kubejson.DefaultMetaFactory, s, s, kubejson.SerializerOptions{Strict: true})}
}

// decode is the manifest as an object. An object of a kind that is not read is nil, with the kind and without a fault. A field that is not
// known is a fault too, though the object is read: kubectl refuses a misspelt field, and a selector that was overlooked is hard to find.
func (d *manifestDecoder) decode(m manifest) (object runtime.Object, kind string, f *fault) {
	object, gvk, err := d.codec.Decode(m.json, nil, nil)
	switch {
	case err == nil:
		return object, gvk.Kind, nil
	case runtime.IsMissingKind(err):
		return nil, "", m.fault("", "it has no kind")
	case runtime.IsMissingVersion(err):
		return nil, "", m.fault("kind", "it has no apiVersion")
	case runtime.IsNotRegisteredError(err):
		if served, ok := d.serves(*gvk); ok {
			return nil, "", m.fault("apiVersion", fmt.Sprintf("kind %s of %s is not read, only of %s", gvk.Kind, gvk.GroupVersion(), served))
		}
		return nil, gvk.Kind, nil
	}
	if strict, ok := runtime.AsStrictDecodingError(err); ok && object != nil {
		first := strict.Errors()[0].Error()
		_, field, _ := strings.Cut(first, `"`)
		return object, gvk.Kind, m.fault(strings.TrimSuffix(field, `"`), first+"; the rest of the object is taken")
	}
	return nil, "", m.typeFault(err)
}

// serves is the version of which a kind is read, when it is another than the one asked for. Groups without a dot are Kubernetes's own: such
// a Deployment is an old one, of group "extensions", or a mistake.
func (d *manifestDecoder) serves(kind schema.GroupVersionKind) (schema.GroupVersion, bool) {
	for known := range d.scheme.AllKnownTypes() {
		if known.Kind == kind.Kind && (known.Group == kind.Group || !strings.Contains(kind.Group, ".")) {
			return known.GroupVersion(), true
		}
	}
	return schema.GroupVersion{}, false
}

var wrongType = regexp.MustCompile(`cannot unmarshal (\w+)(?: \S+)? into Go struct field \w+\.(\S+) of type (\S+)`)

var noObject = regexp.MustCompile(`cannot unmarshal (\w+) into Go value`)

// typeFault puts the decoder's words for a field of a wrong type into the words of the one who wrote it.
func (m manifest) typeFault(err error) *fault {
	words := err.Error()
	if parts := wrongType.FindStringSubmatch(words); parts != nil {
		return m.faultOfType(parts[2], parts[1], fmt.Sprintf("%s: %s where %s belongs", parts[2], parts[1], parts[3]))
	}
	if parts := noObject.FindStringSubmatch(words); parts != nil {
		return m.fault("", "it is no object, but of type "+parts[1])
	}
	if _, after, found := strings.Cut(words, "json: "); found {
		words = after
	}
	return m.fault("", words)
}

// fault is at a field of the manifest, a path such as spec.ports[0].port; at the manifest's start when the field is not found.
func (m manifest) fault(field, words string) *fault { return m.faultOfType(field, "", words) }

func (m manifest) faultOfType(field, jsonType, words string) *fault {
	node := m.document.node(m.path)
	if node != nil && field != "" {
		node = cmp.Or(fieldNode(node, field, jsonType), node)
	}
	return &fault{m.document.file, m.document.lineOf(node), words}
}

// faultIn is at the first scalar of the manifest that reads as the text in quotes in the words; at the manifest's start without one.
func (m manifest) faultIn(words string) *fault {
	node := m.document.node(m.path)
	if at := strings.IndexByte(words, '"'); node != nil && at >= 0 {
		if quoted, err := strconv.QuotedPrefix(words[at:]); err == nil {
			text, _ := strconv.Unquote(quoted)
			node = cmp.Or(scalarNode(node, text), node)
		}
	}
	return &fault{m.document.file, m.document.lineOf(node), words}
}

// node is the node at a path; nil when the document cannot be parsed.
func (d *document) node(path string) *goyaml.Node {
	if d.root == nil {
		d.root = new(goyaml.Node)
		_ = goyaml.Unmarshal(d.text, d.root) // what cannot be parsed leaves a node without content
	}
	if len(d.root.Content) == 0 {
		return nil
	}
	if path == "" {
		return d.root.Content[0]
	}
	return fieldNode(d.root.Content[0], path, "")
}

// lineOf a node, or of the first line of the document that says something.
func (d *document) lineOf(node *goyaml.Node) int {
	if node != nil {
		return d.line + node.Line - 1
	}
	line := d.line
	for text := range bytes.Lines(d.text) {
		if !blankYAML(text) {
			break
		}
		line++
	}
	return line
}

// fieldNode walks a path such as spec.ports[0].port or spec.ports.port, where a sequence without an index stands for its members. It is
// the node of the field's name, or of the deepest on the way that there is; nil when there is none. Of several members, the one whose
// value is of the JSON type is preferred.
func fieldNode(node *goyaml.Node, path, jsonType string) *goyaml.Node {
	steps := strings.FieldsFunc(path, func(c rune) bool { return strings.ContainsRune(".[]", c) })
	found := walk(node, steps, jsonType)
	for n := len(steps); found == nil && n > 0; n-- {
		found = walk(node, steps[:n], "")
	}
	return found
}

func walk(node *goyaml.Node, path []string, jsonType string) *goyaml.Node {
	if len(path) == 0 {
		return node
	}
	switch node.Kind {
	case goyaml.SequenceNode:
		if n, err := strconv.Atoi(path[0]); err == nil && n >= 0 && n < len(node.Content) {
			return walk(node.Content[n], path[1:], jsonType)
		}
		for _, member := range node.Content {
			if found := walk(member, path, jsonType); found != nil {
				return found
			}
		}
	case goyaml.MappingNode:
		for n := 0; n+1 < len(node.Content); n += 2 {
			name, content := node.Content[n], node.Content[n+1]
			switch {
			case name.Value != path[0]:
			case len(path) > 1:
				return walk(content, path[1:], jsonType)
			case jsonType == "" || jsonType == typeOf(content):
				return name
			}
		}
	}
	return nil
}

// typeOf is the JSON type of a node, by the decoder's word for it.
func typeOf(node *goyaml.Node) string {
	switch {
	case node.Kind == goyaml.SequenceNode:
		return "array"
	case node.Kind == goyaml.MappingNode:
		return "object"
	case node.Tag == "!!int", node.Tag == "!!float":
		return "number"
	case node.Tag == "!!bool":
		return "bool"
	}
	return "string"
}

// scalarNode is the first scalar below node that reads as the value.
func scalarNode(node *goyaml.Node, value string) *goyaml.Node {
	if node.Kind == goyaml.ScalarNode && node.Value == value {
		return node
	}
	for _, child := range node.Content {
		if found := scalarNode(child, value); found != nil {
			return found
		}
	}
	return nil
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntaxFault moves the parser's line, which it counts from the document's first, to the file's.
func (d *document) syntaxFault(err error) *fault {
	words := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(words); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return &fault{d.file, d.line + n - 1, m[2]}
		}
	}
	return &fault{d.file, d.lineOf(nil), words}
}
