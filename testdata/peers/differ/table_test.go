package differ

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var tableFlag = flag.String("table", "", "Markdown file in which the table of rules is written anew between its markers")

// The markers of the table in a Markdown file.
const (
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
		b.WriteString("| " + r.name + " | " + r.reason + " | " + r.see + " | [" + name + "](testdata/stories/" + r.story + ") |\n")
	}
	return b.String()
}

// TestTable checks the rules as a document: each is named once and has its
// reason, its source and a story that is there. With -table it writes them.
func TestTable(t *testing.T) {
	names := map[string]bool{}
	for i := range rules {
		r := &rules[i]
		if r.name == "" || r.reason == "" || r.see == "" || r.explains == nil || names[r.name] {
			t.Errorf("rule %d, %q, is incomplete or named like another", i, r.name)
		}
		names[r.name] = true
		if _, err := os.Stat(filepath.Join("../../stories", r.story)); err != nil {
			t.Errorf("rule %q: %v", r.name, err)
		}
	}
	if *tableFlag == "" {
		return
	}
	text, err := os.ReadFile(*tableFlag)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, found := strings.Cut(rest, tableEnd)
	if !ok || !found {
		t.Fatalf("%s has no markers; add these lines:\n%s%s", *tableFlag, tableBegin, tableEnd)
	}
	if err := os.WriteFile(*tableFlag, []byte(before+tableBegin+table()+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
