package admin

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestReadmeBounds holds the table of bounds in docs/operations.md to the bound here.
func TestReadmeBounds(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	row := fmt.Sprintf("| connections of an admin endpoint | %d, %d of one client,", MaxConns, maxConnsEach)
	if !strings.Contains(string(text), row) {
		t.Errorf("docs/operations.md has no %q", row)
	}
}
