package traffic

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestReadmeBounds holds the table of bounds in docs/operations.md to the bounds here.
func TestReadmeBounds(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| what `dashboard` counts | %d names or clients of each of %d tables, for each of %d parts of an hour, "+
			"16 MiB in all; %d failures; %d queries a second are looked at |", topSize, tableCount, parts+2, 2*maxFailures, wanted),
		fmt.Sprintf("| who follows queries at `/api/tail` | %d; %d queries behind; ", MaxTails, tailLength),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/operations.md has no %q", row)
		}
	}
}
