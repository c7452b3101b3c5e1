package server

import (
	"context"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/explain"
)

var updateReasons = flag.Bool("update-reasons", false, "write the list of reasons in docs/debugging.md")

// TestReasonsListed: docs/debugging.md ends with all texts of Extended DNS Errors that resolver/ede.go has.
func TestReasonsListed(t *testing.T) {
	const page, begin, end = "../docs/debugging.md", "<!-- reasons -->\n```text\n", "```\n<!-- end of reasons -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, has := strings.Cut(string(text), begin)
	listed, after, ends := strings.Cut(rest, end)
	if !has || !ends {
		t.Fatalf("%s has no list between %q and %q", page, begin, end)
	}
	want := strings.Join(reasons(t), "\n") + "\n"
	if *updateReasons {
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if listed != want {
		t.Errorf("%s lists other reasons than resolver/ede.go has; go test ./server -run TestReasonsListed -args -update-reasons writes them", page)
	}
}

// TestReasonsExplained: explain has a sentence of its own for each text that a stub resolver can get, and what to do for
// most of them.
func TestReasonsExplained(t *testing.T) {
	seldom := []string{"AXFR needs TCP", "only class IN is served", "NXNAME is no type", "this client may not transfer", "erratic: ", "the answer is older", "the EDNS Client Subnet"}
	for _, reason := range reasons(t) {
		if slices.ContainsFunc(seldom, func(text string) bool { return strings.HasPrefix(reason, text) }) {
			continue
		}
		object := "service prod/web"
		switch {
		case strings.Contains(reason, "pod"):
			object = "namespace prod"
		case strings.HasPrefix(reason, "… "):
			object = "upstream 192.0.2.1:53"
		}
		said := strings.ReplaceAll(reason, "…", object)
		ask := func(context.Context, string, uint16) explain.Answer {
			return explain.Answer{Rcode: "NXDOMAIN", Reason: said}
		}
		r := explain.Explain(t.Context(), explain.Question{Name: "_http._tcp.web.prod.svc.cluster.local.", Types: []uint16{dns.TypeA}, Zone: "cluster.local", Ask: ask,
			Stub: explain.Pod(explain.Glibc, "dev", "cluster.local")})
		if t.Logf("%s\n\t%s %s", said, r.Sentence, r.Fix); strings.HasPrefix(r.Sentence, "The server says") {
			t.Errorf("%s: %s", said, r.Sentence)
		}
	}
}

// reasons are the texts of resolver/ede.go: its constants, and what is given to Explain. A part that follows a name begins
// with an ellipsis.
func reasons(t *testing.T) (all []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "resolver", "ede.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(e ast.Expr) {
		if literal, is := e.(*ast.BasicLit); is && literal.Kind == token.STRING {
			text, _ := strconv.Unquote(literal.Value)
			switch {
			case strings.HasPrefix(text, ":") || strings.HasPrefix(text, " "):
				all = append(all, "…"+text)
			case strings.Contains(strings.TrimSpace(text), " "):
				all = append(all, strings.ReplaceAll(text, "%s", "…"))
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for _, value := range n.Values {
				add(value)
			}
		case *ast.KeyValueExpr:
			add(n.Value)
		case *ast.CallExpr:
			if f, is := n.Fun.(*ast.SelectorExpr); is && strings.HasPrefix(f.Sel.Name, "Explain") {
				add(n.Args[len(n.Args)-1])
			}
		}
		return true
	})
	slices.Sort(all)
	return slices.Compact(all)
}
