package server

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/zones/wire"
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
func logTo(t *testing.T, out *lines) *QueryLog {
	log := NewQueryLog(out)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { log.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return log
}

func logBlocks(rules ...config.Log) []Block { return []Block{{Zones: []string{"."}, Log: rules}} }

// The line that parsers of CoreDNS's log know, for hits and for what waited, over both transports.
func TestQueryLogLine(t *testing.T) {
	engines(t, func(t *testing.T, engine Engine) {
		out := &lines{}
		l := serve(t, Options{Answerer: newScripted(), Engine: engine, Log: logTo(t, out),
			Blocks: logBlocks(config.Log{Zone: ".", Format: config.CommonLog, Classes: config.AllClasses})})
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
			got = regexp.MustCompile(` 0\.\d+s\n$`).ReplaceAllString(got, " SECONDS")
			if got != test.want {
				t.Errorf("%s over %s:\n got %s\nwant %s", test.name, test.network, got, test.want)
			}
		}
	})
}

func TestLogFormats(t *testing.T) {
	record := logRecord{client: netip.MustParseAddrPort("[2001:db8::1]:53"), local: netip.MustParseAddr("10.96.0.10"), elapsed: 1500 * time.Microsecond,
		size: 40, replySize: 99, id: 7, replied: 0xffff, typ: wire.Type(65280), class: 255, rcode: 23, bufsize: 512, proto: resolver.TCP}
	record.nameSize = uint8(copy(record.name[:], "\x03a b\x00"))
	for format, want := range map[string]string{
		"{remote} {port} {local}":             "[2001:db8::1] 53 10.96.0.10",
		"{name} {type} {class} {proto}":       `a\ b. TYPE65280 CLASS255 tcp`,
		"{rcode} {rsize} {size} {duration}":   "BADCOOKIE 99 40 0.0015s",
		"{>id} {>opcode} {>do} {>bufsize}":    "7 0 false 512",
		"{>rflags}":                           "qr,aa,tc,rd,ra,z,ad,cd",
		"{unknown} } { {name} {/meta/data} {": `{unknown} } { a\ b. - {`,
		"":                                    "",
		"{ {name} }":                          `{ a\ b. }`,
	} {
		if got := string(parseLogFormat(format).append(nil, &record)); got != want {
			t.Errorf("%q: got %q, want %q", format, got, want)
		}
	}
}

// The first rule whose zone matches decides, and its classes.
func TestLogRules(t *testing.T) {
	reply := func(rcode wire.Rcode, answers, authority []dns.RR) (*resolver.Request, []byte) {
		m := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
		request := &resolver.Request{}
		packet, _ := m.Pack()
		request.Query.Parse(packet)
		request.Reply.Rcode = rcode
		m.Response, m.Rcode, m.Answer, m.Ns = true, int(rcode), answers, authority
		packet, _ = m.Pack()
		return request, packet
	}
	rr := func(s string) []dns.RR {
		r, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		return []dns.RR{r}
	}
	a, soa, ns := rr("a.example. 5 A 192.0.2.1"), rr("example. 5 SOA a. b. 1 2 3 4 5"), rr("example. 5 NS a.")
	for _, test := range []struct {
		name               string
		rcode              wire.Rcode
		answers, authority []dns.RR
		want               config.Classes
	}{
		{"answer", wire.NoError, a, nil, config.Success},
		{"referral", wire.NoError, nil, ns, config.Success},
		{"empty", wire.NoError, nil, nil, config.Success},
		{"NODATA", wire.NoError, nil, soa, config.Denial},
		{"NXDOMAIN", wire.NameError, nil, soa, config.Denial},
		{"SERVFAIL", wire.ServerFailure, nil, nil, config.Failure},
		{"alias to NXDOMAIN", wire.NameError, a, soa, config.Failure}, // as CoreDNS has it
	} {
		request, packet := reply(test.rcode, test.answers, test.authority)
		if got := classOf(request, packet); got != test.want {
			t.Errorf("%s: class %b, want %b", test.name, got, test.want)
		}
		b := &servedBlock{log: compileLog([]config.Log{{Zone: "other.", Format: "no", Classes: config.AllClasses},
			{Zone: "example.", Format: "yes", Classes: test.want}, {Zone: ".", Format: "late", Classes: config.AllClasses}})}
		if f := b.logFormat(request, packet); len(f) != 1 || f[0].text != "yes" {
			t.Errorf("%s: format %v", test.name, f)
		}
		b = &servedBlock{log: compileLog([]config.Log{{Zone: ".", Format: "no", Classes: config.AllClasses &^ test.want}})}
		if f := b.logFormat(request, packet); f != nil {
			t.Errorf("%s: logged although its class is not", test.name)
		}
	}
}

// A writer that does not come back costs lines, and they are counted; queries are answered.
func TestSlowLogDropsLines(t *testing.T) {
	reading, writing := net.Pipe() // a write to it ends when somebody reads
	log := NewQueryLog(writing)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { log.Run(ctx); close(done) }()
	b := log.buffer()
	record := logRecord{format: parseLogFormat("x")}
	b.add([]logRecord{record}, 0)
	for range 3 * logBound {
		b.add([]logRecord{record}, 0)
	}
	if n := log.Dropped(); n < logBound {
		t.Errorf("%d lines dropped", n)
	}
	reading.Close()
	cancel()
	<-done
}

// The buffers of workers that have ended are given back.
func TestLogForgetsEndedBuffers(t *testing.T) {
	out := &lines{}
	log := logTo(t, out)
	b := log.buffer()
	b.add([]logRecord{{format: parseLogFormat("last words")}}, 0)
	b.end()
	until(t, func() bool { return len(log.all()) == 0 })
	if got := out.all(); len(got) != 1 || got[0] != "[INFO] last words\n" {
		t.Errorf("log %q", got)
	}
}
