package differ

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vocabularyFile has a line for each directive of CoreDNS with the words that its reader compares what it reads to:
// names of options, and words that they take. The table of directives of server/config is held to it.
const vocabularyFile = "../../corefiles/coredns-1.15.0.txt"

// TestVocabulary holds the file to CoreDNS's source.
func TestVocabulary(t *testing.T) {
	got := vocabulary(t)
	if *updateFlag {
		if err := os.WriteFile(vocabularyFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vocabularyFile)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("CoreDNS's source has other words than the file (write it anew with -update):\n%s", got)
	}
}

func vocabulary(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/coredns/coredns").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := strings.TrimSpace(string(out))
	var lines []string
	for _, name := range directivesOf(t, filepath.Join(source, "core/dnsserver/zdirectives.go")) {
		folder := name
		if name == "prometheus" {
			folder = "metrics"
		}
		words := slices.Sorted(maps.Keys(wordsOf(t, filepath.Join(source, "plugin", folder))))
		lines = append(lines, strings.TrimSpace(name+": "+strings.Join(words, " ")))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// directivesOf is the list of directives in a file.
func directivesOf(t *testing.T, file string) (names []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if text, is := literal(n); is {
			names = append(names, text)
		}
		return true
	})
	if len(names) < 50 {
		t.Fatalf("only %d directives in %s", len(names), file)
	}
	return names
}

// wordsOf is the words that the files of a plugin compare something to, as far as they read a Corefile. What rewrite
// reads comes to it in slices.
func wordsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	constants, words := map[string]string{}, map[string]bool{}
	var readers []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		addConstants(parsed, constants)
		if filepath.Base(folder) == "rewrite" || readsCorefile(parsed) {
			readers = append(readers, parsed)
		}
	}
	for _, file := range readers {
		addCompared(file, constants, words)
	}
	return words
}

func readsCorefile(file *ast.File) bool {
	return slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool {
		return strings.HasPrefix(i.Path.Value, `"github.com/coredns/caddy`)
	})
}

func addConstants(file *ast.File, constants map[string]string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, is := n.(*ast.ValueSpec); is && len(spec.Values) == len(spec.Names) {
			for i, name := range spec.Names {
				if text, is := literal(spec.Values[i]); is {
					constants[name.Name] = text
				}
			}
		}
		return true
	})
}

var isWord = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// addCompared adds the words of == and of the cases of switches.
func addCompared(file *ast.File, constants map[string]string, words map[string]bool) {
	add := func(all ...ast.Expr) {
		for _, e := range all {
			text, _ := literal(e)
			if name, is := e.(*ast.Ident); is {
				text = constants[name.Name]
			}
			if isWord.MatchString(text) {
				words[text] = true
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CaseClause:
			add(n.List...)
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				add(n.X, n.Y)
			}
		}
		return true
	})
}

func literal(n ast.Node) (string, bool) {
	basic, is := n.(*ast.BasicLit)
	if !is || basic.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(basic.Value)
	return text, err == nil
}
