package collectors

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterdns/clusterdns/testdata/peers/process"
	"github.com/dnstap/golang-dnstap"
	"github.com/miekg/dns"
	"google.golang.org/protobuf/proto"
)

// tapped is what a reader of dnstap has got: golang-dnstap's, which its command line tool has too.
type tapped struct {
	mu  sync.Mutex
	all []*dnstap.Dnstap
}

// read takes what comes from frames, which ends with the test.
func read(t *testing.T, frames <-chan []byte) *tapped {
	r := &tapped{}
	go func() {
		for frame := range frames {
			m := new(dnstap.Dnstap)
			if err := proto.Unmarshal(frame, m); err != nil {
				t.Errorf("% x: %v", frame, err)
				continue
			}
			r.mu.Lock()
			r.all = append(r.all, m)
			r.mu.Unlock()
		}
	}()
	return r
}

// reader has a server connect to a reader.
func reader(t *testing.T, l net.Listener) *tapped {
	t.Cleanup(func() { l.Close() })
	frames := make(chan []byte)
	go dnstap.NewFrameStreamSockInput(l).ReadInto(frames)
	return read(t, frames)
}

// wait returns the first n messages, as soon as they have come.
func (r *tapped) wait(t *testing.T, n int) []*dnstap.Dnstap {
	t.Helper()
	var all []*dnstap.Dnstap
	await(t, fmt.Sprintf("message %d", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		all = slices.Clone(r.all)
		return len(all) >= n
	})
	return all
}

// text is all fields of a message, without those that differ from run to run, which it checks.
func text(t *testing.T, d *dnstap.Dnstap, upstream string) string {
	t.Helper()
	m := d.Message
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s", d.GetType(), m.GetType(), m.GetSocketFamily(), m.GetSocketProtocol())
	fmt.Fprintf(&b, " identity=%s version=%s extra=%q", d.Identity, d.Version, d.Extra)
	for _, end := range []struct {
		name    string
		address []byte
		port    *uint32
	}{{"query", m.QueryAddress, m.QueryPort}, {"response", m.ResponseAddress, m.ResponsePort}} {
		address, _ := netip.AddrFromSlice(end.address)
		switch {
		case end.port == nil:
			fmt.Fprintf(&b, " %s=%v", end.name, address)
		case fmt.Sprintf("%v:%d", address, *end.port) == upstream:
			fmt.Fprintf(&b, " %s=upstream", end.name)
		default:
			fmt.Fprintf(&b, " %s=%v:port", end.name, address)
		}
	}
	for _, at := range []struct {
		name string
		sec  *uint64
		nsec *uint32
	}{{"asked", m.QueryTimeSec, m.QueryTimeNsec}, {"answered", m.ResponseTimeSec, m.ResponseTimeNsec}} {
		if at.sec == nil && at.nsec == nil {
			continue
		}
		if since := time.Since(time.Unix(int64(*at.sec), int64(*at.nsec))); since < 0 || since > time.Minute {
			t.Errorf("%s %v ago", at.name, since)
		}
		fmt.Fprintf(&b, " %s", at.name)
	}
	fmt.Fprintf(&b, " zone=%x query={%s} response={%s}", m.QueryZone, message(t, m.QueryMessage), message(t, m.ResponseMessage))
	return b.String()
}

// message is the question of a DNS message, and the answer.
func message(t *testing.T, wire []byte) string {
	t.Helper()
	if len(wire) == 0 {
		return ""
	}
	m := new(dns.Msg)
	if err := m.Unpack(wire); err != nil {
		t.Errorf("% x: %v", wire, err)
	}
	q := m.Question[0]
	text := fmt.Sprint(q.Name, " ", dns.Type(q.Qtype))
	if m.Response {
		text += " " + dns.RcodeToString[m.Rcode]
	}
	if m.Truncated {
		text += " cut"
	}
	for _, rr := range m.Answer {
		text += " " + strings.ReplaceAll(rr.String(), "\t", " ")
	}
	return text
}

// TestDnstap: CoreDNS and clusterdns say the same of the same questions.
func TestDnstap(t *testing.T) {
	up := upstream(t)
	cert, key, _ := certificate(t)
	questions := []struct{ network, name string }{
		{"udp", "host.test."}, {"tcp", "host.test."}, {"tcp-tls", "host.test."}, {"udp", "host.test."}, {"udp", "nowhere.test."},
		{"udp", "a.forwarded.test."}, {"tcp", "b.forwarded.test."}, {"tcp-tls", "c.forwarded.test."},
		{"udp", "none.forwarded.test."},
	}
	var got [2][]string
	for i, server := range []process.Command{process.Clusterdns, process.CoreDNS} {
		socket := filepath.Join(t.TempDir(), "dnstap.sock")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		full := reader(t, l)
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		brief := reader(t, tcp)
		plain, secure := process.FreePort(t), process.FreePort(t)
		block := `{
    bind 127.0.0.1
    dnstap ` + socket + ` full 2 1 {
        identity one
        version two
        extra "{name} {type} {class} {proto} {remote} {>id} {>do} {>bufsize} {rcode} {rsize} {duration} {>rflags} {other"
    }
    dnstap tcp://` + tcp.Addr().String() + ` {
        identity three
        version four
    }
    tls ` + cert + ` ` + key + `
    hosts {
        203.0.113.7 host.test
        fallthrough forwarded.test
    }
    forward forwarded.test ` + up + ` {
        prefer_udp
    }
}
`
		start(t, server, ".:"+plain+" "+block+"tls://.:"+secure+" "+block, "127.0.0.1:"+plain, "127.0.0.1:"+secure)
		want := 0
		for _, q := range questions {
			m := new(dns.Msg).SetQuestion(q.name, dns.TypeA)
			m.Id = 4711
			m.SetEdns0(1232, false)
			port := plain
			if q.network == "tcp-tls" {
				port = secure
			}
			ask(t, q.network, "127.0.0.1:"+port, m)
			want += 2
			if strings.Contains(q.name, "forwarded") {
				want += 2
			}
			full.wait(t, want)
		}
		for _, m := range append(full.wait(t, want), brief.wait(t, want)...) {
			got[i] = append(got[i], text(t, m, up))
		}
		slices.Sort(got[i][want:]) // CoreDNS has a connection for each block
	}
	ours, theirs := got[0], got[1]
	for i := range max(len(ours), len(theirs)) {
		switch {
		case i >= len(ours) || i >= len(theirs):
			t.Errorf("%d messages, and %d of CoreDNS", len(ours), len(theirs))
			return
		case ours[i] != theirs[i]:
			t.Errorf("message %d\n   %s\nof CoreDNS is\n   %s", i, ours[i], theirs[i])
		}
	}
	t.Logf("%d messages, such as\n%s\n%s", len(ours), ours[0], ours[len(ours)/2-1])
}

// TestDnstapAttempts: a reply that is cut, and the one over TCP that it leads to, are both told of. CoreDNS tells of the
// last attempt alone.
func TestDnstapAttempts(t *testing.T) {
	up := upstream(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, port := reader(t, l), process.FreePort(t)
	start(t, process.Clusterdns, `.:`+port+` {
    bind 127.0.0.1
    dnstap tcp://`+l.Addr().String()+` full {
        identity one
        version two
    }
    forward . `+up+` {
        prefer_udp
    }
}`, "127.0.0.1:"+port)
	ask(t, "tcp", "127.0.0.1:"+port, new(dns.Msg).SetQuestion("long.test.", dns.TypeA))
	const end = ` identity=one version=two extra="" query=127.0.0.1:port `
	want := []string{
		"MESSAGE CLIENT_QUERY INET TCP" + end + "response=invalid IP asked zone= query={long.test. A} response={}",
		"MESSAGE FORWARDER_QUERY INET UDP" + end + "response=upstream asked zone= query={long.test. A} response={}",
		"MESSAGE FORWARDER_RESPONSE INET UDP" + end + "response=upstream asked answered zone= query={} response={long.test. A NOERROR cut}",
		"MESSAGE FORWARDER_QUERY INET TCP" + end + "response=upstream asked zone= query={long.test. A} response={}",
		"MESSAGE FORWARDER_RESPONSE INET TCP" + end + "response=upstream asked answered zone= query={} response={long.test. A NOERROR long.test. 60 IN A 203.0.113.1}",
		"MESSAGE CLIENT_RESPONSE INET TCP" + end + "response=invalid IP asked answered zone= query={} response={long.test. A NOERROR long.test. 60 IN A 203.0.113.1}",
	}
	for i, m := range r.wait(t, len(want)) {
		if got := text(t, m, up); got != want[i] {
			t.Errorf("message %d\n    %s\nwants\n    %s", i, got, want[i])
		}
	}
}

// TestDnstapSinks: readers over TLS, and readers that connect to the server.
func TestDnstapSinks(t *testing.T) {
	cert, key, pair := certificate(t)
	port := process.FreePort(t)
	socket := filepath.Join(t.TempDir(), "listen.sock")
	tcpAt, tlsAt := "127.0.0.1:"+process.FreePort(t), "127.0.0.1:"+process.FreePort(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	readers := []*tapped{reader(t, l)}
	p := start(t, process.Clusterdns, `.:`+port+` {
    bind 127.0.0.1
    dnstap tls://`+l.Addr().String()+` full {
        skipverify
    }
    dnstap listen `+socket+` full
    dnstap listen tcp://`+tcpAt+` full
    dnstap listen tls://`+tlsAt+` full {
        tls `+cert+` `+key+` `+cert+`
    }
    whoami
}`, "127.0.0.1:"+port, tcpAt, tlsAt)
	mutual := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}
	for _, dial := range []func() (net.Conn, error){
		func() (net.Conn, error) { return net.Dial("unix", socket) },
		func() (net.Conn, error) { return net.Dial("tcp", tcpAt) },
		func() (net.Conn, error) { return tls.Dial("tcp", tlsAt, mutual) },
	} {
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		input, err := dnstap.NewFrameStreamInputTimeout(conn, true, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		frames := make(chan []byte)
		go input.ReadInto(frames)
		readers = append(readers, read(t, frames))
	}
	m := new(dns.Msg).SetQuestion("a.test.", dns.TypeA)
	for i, r := range readers { // the last of them may not be in the list of readers yet
		await(t, fmt.Sprint("reader ", i), func() bool {
			ask(t, "udp", "127.0.0.1:"+port, m)
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.all) > 0
		})
	}
	if conn, err := tls.Dial("tcp", tlsAt, anyCertificate); err == nil {
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("a reader without a certificate gets %d octets", n)
		}
		conn.Close()
	}
	ask(t, "udp", "127.0.0.1:"+port, m)
	p.Stop()
	for i, r := range readers { // what has been said is sent before the end
		await(t, fmt.Sprint("the end for reader ", i), func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			last := r.all[len(r.all)-1]
			return last.Message.GetType() == dnstap.Message_CLIENT_RESPONSE && len(r.all)%2 == 0
		})
	}
}
