package listen

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/server/logs"
)

// lines is an io.Writer that a test can read while others write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(strings.Lines(l.text.String()))
}

// logTo runs a query log for the length of the test.
func logTo(t *testing.T, out *lines) *logs.QueryLog {
	log := logs.NewQueryLog(out)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { log.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return log
}

func logBlocks(rules ...logs.Log) []Block { return []Block{{Zones: []string{"."}, Log: rules}} }

// The line that parsers of CoreDNS's log know, for hits and for what waited, over both transports.
func TestQueryLogLine(t *testing.T) {
	engines(t, func(t *testing.T, engine preference) {
		out := &lines{}
		l := serve(t, Options{Answerer: newScripted(), engine: engine, Log: logTo(t, out),
			Blocks: logBlocks(logs.Log{Zone: ".", Format: logs.CommonLog, Classes: logs.AllClasses})})
		for _, test := range []struct{ network, name, want string }{
			{"udp", "HIT.example.", `[INFO] 127.0.0.1:PORT - 4711 "A IN hit.example. udp 40 true 4096" NOERROR qr,aa,rd 56 SECONDS`},
			{"udp", "miss.example.", `[INFO] 127.0.0.1:PORT - 4711 "A IN miss.example. udp 41 true 4096" NOERROR qr,aa,rd 57 SECONDS`},
			{"tcp", "hit.example.", `[INFO] 127.0.0.1:PORT - 4711 "A IN hit.example. tcp 40 true 65535" NOERROR qr,aa,rd 56 SECONDS`},
			{"tcp", "miss.example.", `[INFO] 127.0.0.1:PORT - 4711 "A IN miss.example. tcp 41 true 65535" NOERROR qr,aa,rd 57 SECONDS`},
		} {
			before := len(out.all())
			client := dns.Client{Net: test.network, Timeout: 5 * time.Second}
			query := new(dns.Msg).SetQuestion(test.name, dns.TypeA).SetEdns0(4096, true)
			query.Id = 4711
			if _, _, err := client.Exchange(query, l.Address().String()); err != nil {
				t.Fatal(err)
			}
			until(t, func() bool { return len(out.all()) > before })
			got := regexp.MustCompile(`^(\[INFO\] [^ ]+:)\d+`).ReplaceAllString(out.all()[before], "${1}PORT")
			got = regexp.MustCompile(` \d+\.\d+s\n$`).ReplaceAllString(got, " SECONDS")
			if got != test.want {
				t.Errorf("%s over %s:\n got %s\nwant %s", test.name, test.network, got, test.want)
			}
		}
	})
}

// The line of a zone transfer has the flags of its messages, and the octets of all of them.
func TestQueryLogLineOfATransfer(t *testing.T) {
	out, s := &lines{}, newScripted()
	s.further = 2
	close(s.release)
	l := serve(t, Options{Answerer: s, Log: logTo(t, out),
		Blocks: logBlocks(logs.Log{Zone: ".", Format: logs.CommonLog, Classes: logs.AllClasses})})
	conn := dialTCP(t, l)
	conn.Conn.Write(framed("zone.example."))
	size := 0
	for range 1 + s.further {
		message, err := conn.ReadMsgHeader(nil)
		if err != nil {
			t.Fatal(err)
		}
		size += len(message)
	}
	until(t, func() bool { return len(out.all()) > 0 })
	if got, want := out.all()[0], fmt.Sprintf(" NOERROR qr,aa,rd %d ", size); !strings.Contains(got, want) {
		t.Errorf("got %swant%s", got, want)
	}
}
