package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/clusterdns/clusterdns/resolver"
)

const (
	// farewellTime is how long the end of a TLS connection may wait for a client that does not read.
	farewellTime = 100 * time.Millisecond
	// readAhead is the octets that are read at a time from a connection with TLS: dozens of queries.
	readAhead = 4 << 10
)

// earlyConn is a connection below TLS. It reads much at a time, and can be told to give only what has arrived.
type earlyConn struct {
	*net.TCPConn
	turn       turn
	arrived    bool // Read does not wait
	start, end int  // of what is not yet used in buf
	buf        [readAhead]byte
}

// nothingYet is the error of a Read that does not wait. It is temporary, so that crypto/tls can read on later.
type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing more has arrived" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

func (c *earlyConn) Read(p []byte) (int, error) {
	if c.start == c.end {
		if c.arrived {
			return 0, nothingYet{}
		}
		c.turn.giveBack()
		n, err := c.TCPConn.Read(c.buf[:])
		if c.start, c.end = 0, n; n == 0 {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.start:c.end])
	c.start += n
	return n, nil
}

// Write sends, which may wait for the client too.
func (c *earlyConn) Write(p []byte) (int, error) {
	c.turn.giveBack()
	return c.TCPConn.Write(p)
}

// compute waits until the handshake may go on.
func (c *earlyConn) compute(ctx context.Context) { c.turn.take(ctx) }

// Close gives back what is held.
func (c *earlyConn) Close() error {
	c.turn.giveBack()
	return c.TCPConn.Close()
}

// secureConn is a TLS connection whose Close does not wait for the client.
type secureConn struct {
	*tls.Conn
	early *earlyConn
}

// secured is conn with TLS where the listener has a certificate.
func (l *Listener) secured(conn *net.TCPConn) net.Conn {
	credentials := l.credentials.Load()
	if credentials == nil {
		return conn
	}
	early := &earlyConn{TCPConn: conn, turn: turn{handshakes: l.handshakes}}
	return &secureConn{tls.Server(early, credentials.config.Load()), early}
}

func secureOf(conn net.Conn) *secureConn {
	secure, _ := conn.(*secureConn)
	return secure
}

// handshake does the handshake before any query, within limit, and reports whether it was good.
func (c *secureConn) handshake(ctx context.Context, limit time.Duration) bool {
	defer c.early.turn.giveBack()
	c.SetDeadline(time.Now().Add(limit))
	if err := c.HandshakeContext(ctx); err != nil {
		c.early.turn.handshakes.failed.Add(1)
		return false
	}
	c.SetDeadline(time.Time{})
	return true
}

// ahead reads what has arrived into f without waiting, and reports whether there was anything.
func (c *secureConn) ahead(f *framer) bool {
	c.early.arrived = true
	defer func() { c.early.arrived = false }()
	n, _ := f.fill()
	return n > 0
}

// farewell says the end (RFC 8446 section 6.1), so that the client knows that nothing was cut off.
func (c *secureConn) farewell() {
	if c == nil {
		return
	}
	c.SetWriteDeadline(time.Now().Add(farewellTime))
	c.CloseWrite()
}

// Close ends the connection at once.
func (c *secureConn) Close() error { return c.early.Close() }

// CloseRead ends what the client may send.
func (c *secureConn) CloseRead() error { return c.early.CloseRead() }

// SetLinger is that of the TCP connection.
func (c *secureConn) SetLinger(seconds int) error { return c.early.SetLinger(seconds) }

// TLS says which certificate a listener has, and what it wants of clients.
type TLS struct {
	CertFile   string
	KeyFile    string
	CAFile     string // the authorities of clients' certificates; "" for those of the system
	ClientAuth tls.ClientAuthType
}

// Credentials are the certificate of a listener. Any number of goroutines may use them.
type Credentials struct {
	options TLS
	protos  []string // ALPN
	config  atomic.Pointer[tls.Config]
	read    files  // what config was made of, or what could not be used
	wrong   string // the last failure, which is said once
	failed  atomic.Uint64
}

// files are the contents of the files of a TLS.
type files struct{ certificate, key, authorities string }

// offered are the protocols of each scheme, which its clients choose from (RFC 7301).
var offered = map[resolver.Scheme][]string{
	resolver.DoT:    {"dot"}, // RFC 7858 has none; this is registered for it. A client may name none
	resolver.DoH:    {"h2", "http/1.1"},
	resolver.DoH3:   {"h3"},
	resolver.DoQ:    {"doq"}, // RFC 9250 section 4.1.1
	resolver.DoGRPC: {"h2"},
}

// ReadCredentials reads the certificate for a listener of a scheme.
func ReadCredentials(options TLS, scheme resolver.Scheme) (*Credentials, error) {
	c := &Credentials{options: options, protos: offered[scheme]}
	var err error
	if c.read, err = options.files(); err != nil {
		return nil, err
	}
	config, err := c.compile(c.read)
	c.config.Store(config)
	return c, err
}

func (o *TLS) files() (f files, err error) {
	for _, file := range []struct {
		name    string
		content *string
	}{{o.CertFile, &f.certificate}, {o.KeyFile, &f.key}, {o.CAFile, &f.authorities}} {
		if file.name == "" {
			continue
		}
		content, err := os.ReadFile(file.name)
		if err != nil {
			return f, err
		}
		*file.content = string(content)
	}
	return f, nil
}

// compile makes the configuration of f. Each has session tickets of its own: what one certificate or authority has
// agreed to does not outlive it.
func (c *Credentials) compile(f files) (*tls.Config, error) {
	pair, err := tls.X509KeyPair([]byte(f.certificate), []byte(f.key))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		GetCertificate:     func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return signerFor(hello, &pair) },
		GetConfigForClient: begin,
		ClientAuth:         c.options.ClientAuth,
		NextProtos:         c.protos,
		MinVersion:         tls.VersionTLS12, // RFC 8310 section 9, RFC 9325 section 3.1
		// One record for all that is written at a time: replies are small, and their clients wait for all of it.
		DynamicRecordSizingDisabled: true,
	}
	if f.authorities != "" {
		if config.ClientCAs, err = authorities(f.authorities); err != nil {
			return nil, err
		}
	}
	return config, nil
}

var errNoAuthority = errors.New("the file of authorities has no certificate in PEM")

func authorities(pem string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, errNoAuthority
	}
	return pool, nil
}

// refresh reads the files again, and takes what they have if it can be used. Else the pair before goes on: a pair is
// written file by file at times. It returns an error that has not been said before.
func (c *Credentials) refresh() (changed bool, err error) {
	f, err := c.options.files()
	if err == nil && f == c.read {
		return false, nil
	}
	var config *tls.Config
	if err == nil {
		config, err = c.compile(f)
	}
	if err != nil {
		if err.Error() == c.wrong {
			return false, nil
		}
		c.failed.Add(1)
		c.wrong = err.Error()
		return false, err
	}
	c.read, c.wrong = f, ""
	c.config.Store(config)
	return true, nil
}

// refreshInterval is how often certificates are looked at, and longer than they may be replaced in parts.
const refreshInterval = 5 * time.Second

// followCertificate takes a new certificate when its files change, until ctx ends. Files of a projected secret change
// when a symbolic link does, so it is their content that is compared.
func (l *Listener) followCertificate(ctx context.Context) {
	for ticker := time.NewTicker(l.options.refresh); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return
		case <-ticker.C:
		}
		c := l.credentials.Load()
		if c == nil {
			continue
		}
		changed, err := c.refresh()
		if err != nil {
			l.options.Logger.Warn("listen: tls: the certificate is not taken, and the one before goes on", "server", l.Label(),
				"error", err)
		} else if changed {
			l.options.Logger.Info("listen: tls: a new certificate", "server", l.Label())
		}
	}
}
