package config

import (
	"net"
	"strings"

	"github.com/clusterdns/clusterdns/observe/dnstap"
	"github.com/clusterdns/clusterdns/resolver"
	"github.com/clusterdns/clusterdns/server/logs"
)

// The largest factors of dnstap, which are CoreDNS's: of a write buffer of 1 MiB, and of the queue.
const (
	mostWriteBuffer = 1024
	mostQueue       = 4096
)

// dnstap [listen] SOCKET [full [WRITEBUFFER [QUEUE]]] { identity TEXT; version TEXT; extra TEXT; skipverify; tls CERT KEY [CA] }
func (b *blockReader) dnstap(a *args) {
	number, _ := ProgramVersion()
	d := resolver.Dnstap{Identity: hostname(), Version: "clusterdns-" + number}
	const want = "a socket such as /run/dnstap.sock, tcp://192.0.2.1:6000 or tls://192.0.2.1:6000"
	text := a.word(want)
	if text == "listen" {
		d.Sink.Listen, text = true, a.word(want)
	}
	d.Sink.Network, d.Sink.Address = a.sink(text, want)
	a.dnstapSizes(&d)
	a.options(options{
		"identity":   func(o *args) { d.Identity = o.word("the name of this server") },
		"version":    func(o *args) { d.Version = o.word("a version") },
		"extra":      func(o *args) { d.Extra = o.word("a text") },
		"skipverify": set(&d.Sink.SkipVerify),
		"tls":        func(o *args) { dnstapTLS(o, &d.Sink) },
	})
	if d.Sink.Listen && d.Sink.Network == "tls" && d.Sink.CertFile == "" {
		a.fail("listen on tls:// needs option tls CERT KEY")
	}
	d.Expand = logs.Expander(d.Extra)
	b.Steps.Dnstaps = append(b.Steps.Dnstaps, d)
}

// sink splits the name of a socket.
func (a *args) sink(text, want string) (network, address string) {
	scheme, address, found := strings.Cut(text, "://")
	if !found {
		return "unix", text
	}
	_, port, err := net.SplitHostPort(address)
	switch scheme {
	case "unix":
		return scheme, address
	case "tcp", "tls":
		if err == nil && port != "" {
			return scheme, address
		}
		a.fail("%q has no port, wants %s", text, want)
	default:
		a.fail("%q is of no scheme that CoreDNS knows, wants %s", text, want)
	}
	return "", ""
}

// dnstapSizes reads what follows the socket. CoreDNS takes any other word for full in silence.
func (a *args) dnstapSizes(d *resolver.Dnstap) {
	if !a.more() {
		return
	}
	word := a.word("")
	if d.Full = word == "full"; !d.Full {
		a.warnf("%q has no effect: write full to have the messages themselves", word)
	}
	if a.more() {
		d.Sink.WriteBuffer = a.number(1, mostWriteBuffer) << 20
	}
	if a.more() {
		d.Sink.Queue = a.number(1, mostQueue) * dnstap.QueueOctets
	}
}

func dnstapTLS(o *args, s *dnstap.Options) {
	if !s.Listen {
		o.fail("is for dnstap listen alone")
		return
	}
	const want = "CERT KEY [CA], files in PEM"
	s.CertFile, s.KeyFile = o.word(want), o.word(want)
	o.checkKeyPair(s.CertFile, s.KeyFile)
	if o.more() {
		s.CAFile = o.word("")
		o.checkRoots(s.CAFile)
	}
}

func usesDnstap(b *Block) bool { return len(b.Steps.Dnstaps) > 0 }

func summarizeDnstaps(b *Block, s *summary) {
	for i := range b.Steps.Dnstaps {
		d := &b.Steps.Dnstaps[i]
		where := "to"
		if d.Sink.Listen {
			where = "for readers at"
		}
		l := s.step("dnstap %s %s", where, d.Sink.URL())
		l.add(d.Full, "full")
		l.add(d.Sink.WriteBuffer > 0, "write buffer %d MiB", d.Sink.WriteBuffer>>20)
		l.add(d.Sink.Queue > 0, "queue %d octets", d.Sink.Queue)
		l.add(d.Extra != "", "extra %q", d.Extra)
		l.add(d.Sink.SkipVerify, "skipverify")
		l.add(d.Sink.CertFile != "", "certificate %s", d.Sink.CertFile)
		l.add(d.Sink.CAFile != "", "roots %s", d.Sink.CAFile)
	}
}
