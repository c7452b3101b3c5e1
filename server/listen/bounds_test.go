package listen

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestReadmeBounds holds the table of bounds in docs/operations.md to the defaults. What one of each costs, in KiB, is as
// measured.
func TestReadmeBounds(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
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
		fmt.Sprintf("| time of a TCP connection | %d s for the first query, and for the rest of one that has begun; %d s between "+
			"queries; %d s to take replies |", o.ReadTimeout/time.Second, o.IdleTimeout/time.Second,
			o.WriteTimeout/time.Second),
		fmt.Sprintf("| HTTP requests and QUIC streams | %d in work, %d of one client; %d s for a whole request, %d s to take the "+
			"reply; %d KiB for a query |", maxRequests, maxRequests/requestsShare, o.ReadTimeout/time.Second,
			o.WriteTimeout/time.Second, longestQuery>>10),
		fmt.Sprintf("| HTTP connections | as TCP connections; %d requests at a time, headers of %d KiB, idle for %d s |",
			maxStreams, maxHeaders>>10, o.IdleTimeout/time.Second),
		fmt.Sprintf("| QUIC connections | as TCP connections; %d streams at a time, %d KiB that a client may send ahead; %d s "+
			"of silence in the handshake, %d s idle. From %d on", maxStreams, quicConnWindow>>10,
			quicHandshake/time.Second, o.IdleTimeout/time.Second, o.Streams/8),
		fmt.Sprintf("| TLS handshakes | one is computed at a time for two CPUs, of all addresses and encrypted "+
			"transports together; %d s each; a connection below TLS takes %d KiB more",
			o.ReadTimeout/time.Second, 18),
		fmt.Sprintf("| UDP receive buffer | %d MiB asked for each socket", o.Buffer>>20),
		fmt.Sprintf("| zone transfers | %d under way, %d to one client, %d KiB each; %d s for a message, %d s for a zone |",
			MaxTransfers, transfersEach, 122, o.WriteTimeout/time.Second, transferTime/time.Second),
		fmt.Sprintf("| in the kernel: what TCP clients do not read, or have sent | %d | %d |", o.Streams+MaxTransfers,
			(2*sendBuffer+2*sendBuffer/4)>>10),
	} {
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/operations.md has no %q", row)
		}
	}
}
