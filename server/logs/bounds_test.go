package logs

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestReadmeBounds holds the table of bounds in docs/operations.md to those of this package.
func TestReadmeBounds(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| query log | %d lines for each worker |", bufferedLines),
		fmt.Sprintf("| the server's own log | %d lines |", queuedLines),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/operations.md has no %q", row)
		}
	}
}
