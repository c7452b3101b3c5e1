package dnstap

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestReadmeBounds holds the table of bounds in docs/operations.md to those here.
func TestReadmeBounds(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	row := fmt.Sprintf("| messages for a `dnstap` | %d KiB, as 10,000 of 512 octets; `queue` multiplies it. Of `dnstap listen` "+
		"%d readers with an eighth each; %d s for a reader to take %d KiB |", QueueOctets>>10, MostReaders, writeTime/time.Second,
		chunkSize>>10)
	if !strings.Contains(string(text), row) {
		t.Errorf("docs/operations.md has no %q", row)
	}
}
