package differ

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateFlag = flag.Bool("update", false, "write the table of rules in the README anew")

// The table is in the README, between two markers.
const (
	readme     = "../../../README.md"
	tableBegin = "<!-- rules:begin -->\n"
	tableEnd   = "<!-- rules:end -->\n"
)

// table is the rules in Markdown.
func table() string {
	var b strings.Builder
	b.WriteString("| Difference from CoreDNS | Why | See | Story |\n|---|---|---|---|\n")
	for i := range rules {
		r := &rules[i]
		name := strings.TrimSuffix(filepath.Base(r.story), ".txtar")
		b.WriteString("| " + r.name + " | " + r.reason + " | " + r.see + " | [" + name + "](testdata/stories/" + r.story + ") `" + r.shows + "` |\n")
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
// README.
func TestTable(t *testing.T) {
	checkRules(t, rules)
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, found := strings.Cut(rest, tableEnd)
	if !ok || !found {
		t.Fatalf("%s has no markers; add these lines:\n%s%s", readme, tableBegin, tableEnd)
	}
	now := before + tableBegin + table() + tableEnd + after
	if now == string(text) {
		return
	}
	if !*updateFlag {
		t.Fatalf("the table in %s is not that of the rules: write it with go test ./differ -run Table -update", readme)
	}
	if err := os.WriteFile(readme, []byte(now), 0o644); err != nil {
		t.Fatal(err)
	}
}
