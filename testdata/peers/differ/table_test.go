package differ

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updateFlag = flag.Bool("update", false, "write the tables of rules in docs/differences.md anew")

const differences = "../../../docs/differences.md"

// tables are those of the page: each stands between markers of its own.
var tables = map[string]func() []rule{
	"rules":     func() []rule { return rules },
	"corefiles": func() []rule { return append(slices.Clone(wholeRules), denial) },
	"steps":     func() []rule { return slices.DeleteFunc(slices.Clone(stepRules), isListed) },
}

// isListed reports whether a rule needs no row in the table of steps: it stands in that of rules, or is about the
// moment of a question and no difference between the servers.
func isListed(r rule) bool {
	return r.name == stepAge.name || slices.ContainsFunc(rules, func(other rule) bool { return other.name == r.name })
}

// table is rules in Markdown.
func table(rules []rule) string {
	var b strings.Builder
	b.WriteString("| Difference from CoreDNS | Why | See | Story |\n|---|---|---|---|\n")
	for i := range rules {
		r := &rules[i]
		name := strings.TrimSuffix(filepath.Base(r.story), ".txtar")
		b.WriteString("| " + r.name + " | " + r.reason + " | " + r.see + " | [" + name + "](../testdata/stories/" + r.story +
			") `" + r.shows + "` |\n")
	}
	return b.String()
}

// answers reports whether a story has an answer to a question: a line of its
// own, with indented lines below.
func answers(story, question string) bool {
	_, text, _ := strings.Cut(story, "\n-- answers --\n")
	_, answer, found := strings.Cut("\n"+text, "\n"+question+"\n")
	return found && strings.HasPrefix(answer, " ")
}

// checkRules checks that each rule is named once and has its reason, its source
// and a story with our answer to such a question.
func checkRules(t *testing.T, rules []rule) {
	names := map[string]bool{}
	for i := range rules {
		r := &rules[i]
		if r.name == "" || r.reason == "" || r.see == "" || r.explains == nil || names[r.name] {
			t.Errorf("rule %d, %q, is incomplete or named like another", i, r.name)
		}
		names[r.name] = true
		story, err := os.ReadFile(filepath.Join("../../stories", r.story))
		if err != nil {
			t.Errorf("rule %q: %v", r.name, err)
		} else if !answers(string(story), r.shows) {
			t.Errorf("rule %q: %s has no answer to %q", r.name, r.story, r.shows)
		}
	}
}

// TestTable checks the rules as a document: each is complete, and stands in the
// page.
func TestTable(t *testing.T) {
	checkRules(t, rules)
	checkRules(t, stepRules)
	checkRules(t, corefileRules)
	text, err := os.ReadFile(differences)
	if err != nil {
		t.Fatal(err)
	}
	now := string(text)
	for name, rules := range tables {
		begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->\n"
		before, rest, ok := strings.Cut(now, begin)
		_, after, found := strings.Cut(rest, end)
		if !ok || !found {
			t.Fatalf("%s has no markers; add these lines:\n%s%s", differences, begin, end)
		}
		now = before + begin + table(rules()) + end + after
	}
	if now == string(text) {
		return
	}
	if !*updateFlag {
		t.Fatalf("the tables in %s are not those of the rules: write them with go test ./differ -run Table -update", differences)
	}
	if err := os.WriteFile(differences, []byte(now), 0o644); err != nil {
		t.Fatal(err)
	}
}
