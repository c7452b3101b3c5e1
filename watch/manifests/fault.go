package manifests

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	goyaml "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterdns/clusterdns/watch/object"
)

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

var wrongType = regexp.MustCompile(`cannot unmarshal (\w+)(?: \S+)? into Go struct field \w+\.(\S+) of type (\S+)`)

var noObject = regexp.MustCompile(`cannot unmarshal (\w+) into Go value`)

// typeFault puts the decoder's words for a field of a wrong type into the words of the one who wrote it.
func (m manifest) typeFault(err error) *fault {
	words := err.Error()
	if parts := wrongType.FindStringSubmatch(words); parts != nil {
		why := fmt.Errorf("%s: %s where %s belongs", parts[2], parts[1], parts[3])
		return m.faultOfType(parts[2], parts[1], m.refusal(why))
	}
	if parts := noObject.FindStringSubmatch(words); parts != nil {
		return m.left("", "it is no object, but of type "+parts[1])
	}
	if _, after, found := strings.Cut(words, "json: "); found {
		words = after
	}
	return m.left("", words)
}

// left is the fault of a manifest that is left out and could not be decoded, at a field of it.
func (m manifest) left(field, words string) *fault {
	return m.fault(field, m.refusal(errors.New(words)))
}

// refusal names the object as far as it can be read.
func (m manifest) refusal(why error) string {
	var o metav1.PartialObjectMetadata
	_ = json.Unmarshal(m.json, &o) // what is of a wrong type is left empty
	if o.Kind == "" {
		return "the document is refused: " + why.Error()
	}
	return refusal(o.Kind, object.Key{Namespace: cmp.Or(o.Namespace, metav1.NamespaceDefault), Name: o.Name}, why)
}

// fault is at a field of the manifest, a path such as spec.ports[0].port; at the manifest's start when the field is not
// found.
func (m manifest) fault(field, words string) *fault { return m.faultOfType(field, "", words) }

// refused is the fault of an object that is left out, at a field of it.
func (m manifest) refused(field, kind string, key object.Key, why error) *fault {
	return m.fault(field, refusal(kind, key, why))
}

func (m manifest) faultOfType(field, jsonType, words string) *fault {
	node := m.document.node(m.path)
	if node != nil && field != "" {
		node = cmp.Or(fieldNode(node, field, jsonType), node)
	}
	return &fault{m.document.file, m.document.lineOf(node), words}
}

// faultIn is at the first scalar of the manifest that reads as the text in quotes in the words; at the manifest's start
// without one.
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

// lineOf a node, or of the first line of the document that is not blank.
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

// fieldNode walks a path such as spec.ports[0].port or spec.ports.port, where a sequence without an index stands for
// its members. It is the node of the field's name, or of the deepest on the way that there is; nil when there is none.
// Of several members, the one whose value is of the JSON type is preferred.
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
			return &fault{d.file, d.line + n - 1, "the document is refused: " + m[2]}
		}
	}
	return &fault{d.file, d.lineOf(nil), "the document is refused: " + words}
}
