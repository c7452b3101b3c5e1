package watch

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Replicas ask each other for their snapshots. One that starts without the API server and without a file of its own that
// it can use asks its peers, until one has given its file or the API server is there. What comes is looked at as a file of
// its own is, kept at the path of that, and read from there.

// Peers is how the replicas of a source give each other their snapshots. The zero value is not at all.
type Peers struct {
	Ask        string // addresses with ports of those to ask, with commas between; "" for none
	Listen     string // address and port at which the own snapshot is given; "" for nowhere
	SecretFile string // has what all replicas know, and nobody else
	CertFile   string // TLS certificate, with KeyFile and CAFile; "" for none, between loopback addresses only
	KeyFile    string
	CAFile     string // authority of the peers' certificates
	Name       string // in the peers' certificates; "" for the address that is asked
}

const (
	// peerPatience is what one peer has for all of its answer: a thousandth of it is what a snapshot of 155,000 endpoints
	// takes, and a peer that stands still keeps the next one from being asked for no longer.
	peerPatience = 30 * time.Second
	// connectPatience is what a peer has to answer at all.
	connectPatience = 2 * time.Second
	// askPause is between the first two rounds of asking: peers that start too have nothing to give yet. It doubles up to
	// longestPause, since a peer of other options gives all of its file each time.
	askPause     = 5 * time.Second
	longestPause = time.Minute
	// PeerConns is how many connections the giving side has at a time, and connectPause how much time passes between two:
	// any pod can open them, and a handshake costs about a millisecond. Among as many that ask for nothing each has 0.8 s to
	// do so.
	PeerConns    = 16
	connectPause = 50 * time.Millisecond
	// addressConns is how many of them one address has, and addressPause how long one still counts after its end: an
	// address that opens more, or one after the other, leaves places and handshakes to the others, though they wait behind
	// its connections that are refused. A peer needs one in askPause, and several may come from the address of a node.
	addressConns = 4
	addressPause = time.Second
	// refuseBatch is how many connections are closed at once before refusePause passes: those of a peer wait behind them,
	// and the 4,096 that Linux has waiting by default must be gone within connectPatience. So many in each pause are
	// 2,300 to 2,800 a second, and a tenth of a core (go test ./watch -bench GivingFlooded).
	refuseBatch = 16
	refusePause = 5 * time.Millisecond

	snapshotPath = "/snapshot"
	bearer       = "Bearer "
)

// The bounds of a secret: what is shorter can be guessed, what is longer is another file.
const (
	leastSecret = 16
	mostSecret  = 4 << 10
)

// mostPEM is more than the certificates of all authorities of a machine take.
const mostPEM = 1 << 20

// Asked is what came of asking a peer, Given what came of a request of one.
type (
	Asked string
	Given string
)

// The results.
const (
	AskedTaken   Asked = "taken"
	AskedRefused Asked = "refused" // it gave what cannot be used
	AskedFailed  Asked = "failed"  // it gave nothing, or not in time

	GivenWhole   Given = "given"
	GivenDenied  Given = "denied"  // who asked does not know the secret
	GivenBusy    Given = "busy"    // another one is being given
	GivenUnready Given = "unready" // nothing has been read of the API server, or written, since the start
	GivenFailed  Given = "failed"
	GivenInvalid Given = "invalid" // it was no HTTP, or for something else

	// Of connections that end before there is a request.
	GivenHandshake Given = "handshake" // that of TLS failed
	GivenSilent    Given = "silent"    // nothing was asked
	GivenCrowded   Given = "crowded"   // its address has as many as it may have
)

// AskedResults and GivenResults are all of them.
var (
	AskedResults = []Asked{AskedTaken, AskedRefused, AskedFailed}
	GivenResults = []Given{GivenWhole, GivenDenied, GivenBusy, GivenUnready, GivenFailed, GivenInvalid,
		GivenHandshake, GivenSilent, GivenCrowded}
)

// CheckSecret returns why the content of a file is no secret that peers may share.
func CheckSecret(content []byte) error {
	text := strings.TrimSpace(string(content))
	if n := len(text); n < leastSecret || len(content) > mostSecret {
		return fmt.Errorf("has %d octets, and a secret has %d to %d", n, leastSecret, mostSecret)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) { // it travels in a header
		return errors.New("has more than one line of letters, digits and signs of ASCII")
	}
	return nil
}

// readSecret reads the secret anew, since it may have been changed.
func readSecret(file string) (string, error) {
	content, err := readSmall(file, mostSecret)
	if err != nil {
		return "", err
	}
	if err := CheckSecret(content); err != nil {
		return "", fmt.Errorf("%s %w", file, err)
	}
	return strings.TrimSpace(string(content)), nil
}

// readSmall reads a file that may have been exchanged for anything since the Corefile was read: a FIFO or a device that
// does not end must hold up nobody.
func readSmall(file string, most int64) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not block
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, cmp.Or(err, errors.New(file+" is no file"))
	}
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("%s has more than %d octets", file, most)
	}
	return content, err
}

// readPair reads the certificate and its key anew, since they may have been renewed.
func (p *Peers) readPair() (*tls.Certificate, error) {
	certificate, err := readSmall(p.CertFile, mostPEM)
	if err != nil {
		return nil, err
	}
	key, err := readSmall(p.KeyFile, mostPEM)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	return &pair, err
}

// readAuthority reads the authority of the peers' certificates anew.
func (p *Peers) readAuthority() (*x509.CertPool, error) {
	content, err := readSmall(p.CAFile, mostPEM)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, errors.New(p.CAFile + " has no certificate in PEM")
	}
	return roots, nil
}

// knows reports whether a request has the secret. How long it takes says nothing of the secret.
func knows(r *http.Request, secret string) bool {
	said, ok := strings.CutPrefix(r.Header.Get("Authorization"), bearer)
	a, b := sha256.Sum256([]byte(said)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && ok
}
