package listen

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestReadmeBounds holds the table of bounds in README.md to the defaults. What one of each costs, in KiB, is as
// measured.
func TestReadmeBounds(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	o := Defaults()
	for _, row := range []string{
		fmt.Sprintf("| queries that wait for upstream | %d, %d KiB each; %d times the free places for one client; "+
			"%d of one TCP connection |", o.Pending, 1, ofFree, streamPipeline),
		fmt.Sprintf("| TCP connections | %d, %d of one client; %d KiB each while it is answered", o.Streams,
			o.Streams/streamsShare, 106),
		fmt.Sprintf("| a TCP query | %d KiB |", longestQuery>>10),
		fmt.Sprintf("| time of a TCP connection | %d s for a whole query, %d s to take replies |",
			o.IdleTimeout/time.Second, o.WriteTimeout/time.Second),
		fmt.Sprintf("| TLS handshakes | one is computed at a time for two CPUs; %d s each; a connection below TLS takes %d KiB more",
			handshakeTime/time.Second, 18),
		fmt.Sprintf("| UDP receive buffer | %d MiB asked for each socket", o.Buffer>>20),
		fmt.Sprintf("| zone transfers | %d under way, %d to one client, %d KiB each; %d s for a message, %d s for a zone |",
			MaxTransfers, transfersEach, 122, o.WriteTimeout/time.Second, transferTime/time.Second),
		fmt.Sprintf("| in the kernel: what TCP clients do not read, or have sent | %d | %d |", o.Streams+MaxTransfers,
			(2*sendBuffer+2*sendBuffer/4)>>10),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("README.md has no %q", row)
		}
	}
}
