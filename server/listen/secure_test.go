package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/clusterdns/clusterdns/resolver"
)

// newCertificate writes a certificate of that serial number and its key into a folder, which a symbolic link names, as a
// projected secret is laid out.
func newCertificate(t *testing.T, folder string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{"lab.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	into, err := os.MkdirTemp(folder, "..")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(into, "tls.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
	write(t, filepath.Join(into, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	link(t, folder, into)
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// link swaps the symbolic link of a projected secret.
func link(t *testing.T, folder, into string) {
	t.Helper()
	if err := os.Symlink(into, filepath.Join(folder, "new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(folder, "new"), filepath.Join(folder, "data")); err != nil {
		t.Fatal(err)
	}
}

// serveSecure serves a scheme with a certificate in folder/data.
func serveSecure(t *testing.T, scheme resolver.Scheme, o Options) (l *Listener, folder string) {
	t.Helper()
	folder = t.TempDir()
	newCertificate(t, folder, 1)
	var err error
	o.Credentials, err = ReadCredentials(TLS{
		CertFile: filepath.Join(folder, "data", "tls.crt"), KeyFile: filepath.Join(folder, "data", "tls.key")}, scheme)
	if err != nil {
		t.Fatal(err)
	}
	o.Scheme, o.refresh = scheme, 10*time.Millisecond
	return serve(t, o), folder
}

func dialTLS(t *testing.T, l *Listener, config *tls.Config) *tls.Conn {
	t.Helper()
	config.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", l.Address().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// Queries that come in records of their own are answered with one record if they have arrived together; what waits for
// upstream follows later (RFC 7766 section 6.2.1.1, RFC 7858 section 3.3).
func TestRecordsAnsweredTogether(t *testing.T) {
	s := newScripted()
	l, _ := serveSecure(t, resolver.DoT, Options{Answerer: s})
	if l.Label() != "tls://"+l.Address().String() {
		t.Errorf("label %s", l.Label())
	}
	conn := dns.Conn{Conn: dialTLS(t, l, &tls.Config{NextProtos: []string{"dot"}})}
	for _, name := range []string{"hold.example.", "a.example.", "b.example."} {
		conn.Write(framed(name)[lengthSize:])
	}
	for range 2 {
		if _, err := conn.ReadMsg(); err != nil {
			t.Fatal(err)
		}
	}
	close(s.release)
	if reply, err := conn.ReadMsg(); err != nil || reply.Question[0].Name != "hold.example." {
		t.Errorf("released: %v %v", reply, err)
	}
}

// The end of the server is said, so that a client knows that nothing was cut off; and one that ends its side has its
// answers.
func TestFarewell(t *testing.T) {
	l, _ := serveSecure(t, resolver.DoT, Options{Answerer: newScripted()})
	conn := dialTLS(t, l, &tls.Config{})
	conn.Write(framed("miss.example."))
	conn.CloseWrite()
	if all, err := io.ReadAll(conn); err != nil || len(all) == 0 {
		t.Errorf("%d octets, %v", len(all), err)
	}
}

// What is not TLS, and what offers other protocols alone (RFC 7301 section 3.2), fails, is counted, and holds nothing.
func TestHandshakesFail(t *testing.T) {
	l, _ := serveSecure(t, resolver.DoT, Options{Answerer: newScripted()})
	conn, err := net.Dial("tcp", l.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(framed("a.example."))
	if _, err := tls.Dial("tcp", l.Address().String(), &tls.Config{InsecureSkipVerify: true,
		NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client of h2 is taken")
	}
	until(t, func() bool { return l.handshakes.failed.Load() == 2 && l.streams.open.Counts().Open == 0 })
	dialTLS(t, l, &tls.Config{}) // the handshakes that failed hold back no other
}

// A session goes on with another connection (RFC 7858 section 3.4).
func TestSessionResumes(t *testing.T) {
	l, _ := serveSecure(t, resolver.DoT, Options{Answerer: newScripted()})
	config := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(1), ServerName: "lab.test"}
	for i := range 2 {
		conn := dialTLS(t, l, config)
		conn.Write(framed("a.example."))
		if _, err := (&dns.Conn{Conn: conn}).ReadMsg(); err != nil {
			t.Fatal(err)
		}
		if resumed := conn.ConnectionState().DidResume; resumed != (i == 1) {
			t.Errorf("connection %d resumed: %t", i, resumed)
		}
	}
}

// A certificate is taken when the symbolic link of its folder changes. One that is broken is said and counted once, and
// the one before goes on.
func TestCertificateChanges(t *testing.T) {
	out := &lines{}
	l, folder := serveSecure(t, resolver.DoT,
		Options{Answerer: newScripted(), Logger: slog.New(slog.NewTextHandler(out, nil))})
	serial := func() int64 {
		conn := dialTLS(t, l, &tls.Config{})
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("serial number %d", got)
	}
	newCertificate(t, folder, 2)
	until(t, func() bool { return serial() == 2 })
	broken := t.TempDir()
	write(t, filepath.Join(broken, "tls.crt"), []byte("nothing"))
	write(t, filepath.Join(broken, "tls.key"), []byte("nothing"))
	link(t, folder, broken)
	c := l.credentials.Load()
	until(t, func() bool { return c.failed.Load() == 1 })
	newCertificate(t, folder, 3)
	until(t, func() bool { return serial() == 3 })
	said := strings.Join(out.all(), "\n")
	if n := strings.Count(said, "is not taken"); n != 1 || c.failed.Load() != 1 {
		t.Errorf("said %d times, counted %d times:\n%s", n, c.failed.Load(), said)
	}
}

// Modes of client authentication: who has no certificate, and who has one of an authority or of another.
func TestClientAuthentication(t *testing.T) {
	folder, foreign := t.TempDir(), t.TempDir()
	newCertificate(t, folder, 1)
	newCertificate(t, foreign, 2)
	pair := func(folder string) []tls.Certificate {
		c, err := tls.LoadX509KeyPair(filepath.Join(folder, "data", "tls.crt"), filepath.Join(folder, "data", "tls.key"))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	for mode, want := range map[tls.ClientAuthType][3]bool{ // none, of another authority, of the authority
		tls.NoClientCert:               {true, true, true},
		tls.RequestClientCert:          {true, true, true},
		tls.RequireAnyClientCert:       {false, true, true},
		tls.VerifyClientCertIfGiven:    {true, false, true},
		tls.RequireAndVerifyClientCert: {false, false, true},
	} {
		c, err := ReadCredentials(TLS{CertFile: filepath.Join(folder, "data", "tls.crt"),
			KeyFile: filepath.Join(folder, "data", "tls.key"), CAFile: filepath.Join(folder, "data", "tls.crt"),
			ClientAuth: mode}, resolver.DoT)
		if err != nil {
			t.Fatal(err)
		}
		l := serve(t, Options{Answerer: newScripted(), Scheme: resolver.DoT, Credentials: c})
		for i, certificates := range [][]tls.Certificate{nil, pair(foreign), pair(folder)} {
			conn := dialTLS(t, l, &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if certificates == nil {
					return new(tls.Certificate), nil
				}
				return &certificates[0], nil
			}})
			conn.Write(framed("a.example."))
			if _, err := (&dns.Conn{Conn: conn}).ReadMsg(); (err == nil) != want[i] {
				t.Errorf("%v, certificate %d: %v", mode, i, err)
			}
		}
	}
}
