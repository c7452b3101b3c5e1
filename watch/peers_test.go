package watch

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterdns/clusterdns/watch/saved"
	"github.com/clusterdns/clusterdns/zones"
)

const sharedSecret = "0123456789abcdef"

// secretFile is a file with a secret.
func secretFile(t testing.TB, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(file, []byte(secret+"\n"), 0o600))
	return file
}

// certified is peers with a certificate for a name that signs itself.
func certified(t *testing.T, name string) (p Peers) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	packed, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	folder := t.TempDir()
	p.CertFile, p.KeyFile = filepath.Join(folder, "cert"), filepath.Join(folder, "key")
	p.CAFile, p.Name = p.CertFile, name
	must(t, os.WriteFile(p.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), 0o600))
	must(t, os.WriteFile(p.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: packed}), 0o600))
	return p
}

// giving has n give its snapshot, until stop is called or the test ends. Then all that came of connections is counted.
func giving(t testing.TB, n *snapshots) (address string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { n.giveAt(ctx, listener) })
	stop = func() {
		cancel()
		serving.Wait()
	}
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// asker is the snapshots of a server that has none, and may ask peers.
func asker(t testing.TB, p Peers, peer string) *snapshots {
	t.Helper()
	n := fresh(t, Options{}, filepath.Join(t.TempDir(), "snapshot"))
	n.file.Peers, n.file.Peers.Ask = p, peer
	return n
}

// noneLeft fails if something is beside or at the path of a file.
func noneLeft(t *testing.T, file string) {
	t.Helper()
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestPeersGive starts a server, whole, while its API server refuses connections, beside one that has synced.
func TestPeersGive(t *testing.T) {
	const api = "127.0.0.1:1" // nobody listens there
	for name, p := range map[string]Peers{"plain": {}, "tls": certified(t, "peers.example")} {
		t.Run(name, func(t *testing.T) {
			p.SecretFile = secretFile(t, sharedSecret)
			old, _ := filled(t)
			old.state.requests.counts.Host = api
			n := old.state.snapshots
			n.file.Peers = p
			n.counters.Writes, n.wrote = 0, time.Time{}
			n.write(false) // of that API server
			p.Ask, _ = giving(t, n)

			file := filepath.Join(t.TempDir(), "snapshot")
			index := zones.NewIndex()
			s, err := New(Options{Endpoint: "http://" + api,
				Snapshot: SnapshotFile{Path: file, MaxAge: time.Hour, After: time.Hour, Peers: p}}, index, slog.New(slog.DiscardHandler))
			must(t, err)
			s.Own()
			var running sync.WaitGroup
			running.Go(func() { s.Run(t.Context()) })
			t.Cleanup(running.Wait)
			must(t, s.Wait(t.Context(), zones.Services))
			now, want := index.Snapshot(), old.state.index.Snapshot()
			services, addresses := now.Size()
			if s, a := want.Size(); services != s || addresses != a || services == 0 {
				t.Errorf("%d services and %d addresses, the peer has %d and %d", services, addresses, s, a)
			}
			if !strings.HasPrefix(now.Stale(), isStale) || s.Snapshot() == "" {
				t.Errorf("answers say %q", now.Stale())
			}
			c := s.Counters().Snapshot
			if !c.Serving || c.Asked[AskedTaken] != 1 || c.At.IsZero() {
				t.Errorf("%+v", c)
			}
			mine, err := os.ReadFile(file)
			must(t, err)
			if theirs, err := os.ReadFile(n.file.Path); err != nil || string(mine) != string(theirs) {
				t.Errorf("the file is another one: %v", err)
			}
		})
	}
}

// TestPeersRefuse asks peers that give nothing, and says why.
func TestPeersRefuse(t *testing.T) {
	encrypted := certified(t, "peers.example")
	for name, test := range map[string]struct {
		given Given
		asked Asked
		edit  func(giver, asker *snapshots)
	}{
		"whole":       {GivenWhole, AskedTaken, nil},
		"secret":      {GivenDenied, AskedFailed, func(_, a *snapshots) { a.file.Peers.SecretFile = secretFile(t, sharedSecret+"0") }},
		"own secret":  {"", AskedFailed, func(_, a *snapshots) { a.file.Peers.SecretFile = secretFile(t, "short") }},
		"no secret":   {GivenFailed, AskedFailed, func(g, _ *snapshots) { g.file.Peers.SecretFile = secretFile(t, "") }},
		"busy":        {GivenBusy, AskedFailed, func(g, _ *snapshots) { g.giving <- struct{}{} }},
		"unwritten":   {GivenUnready, AskedFailed, func(g, _ *snapshots) { g.counters.Writes = 0 }},
		"unread":      {GivenUnready, AskedFailed, func(g, _ *snapshots) { g.state.synced = 0 }},
		"no file":     {GivenFailed, AskedFailed, func(g, _ *snapshots) { os.Remove(g.file.Path) }},
		"name":        {GivenHandshake, AskedFailed, func(_, a *snapshots) { a.file.Peers.Name = "other.example" }},
		"authority":   {GivenHandshake, AskedFailed, func(_, a *snapshots) { a.file.Peers.CAFile = certified(t, "peers.example").CAFile }},
		"no key":      {GivenHandshake, AskedFailed, func(g, _ *snapshots) { g.file.Peers.KeyFile = t.TempDir() }},
		"fifo":        {GivenHandshake, AskedFailed, func(g, _ *snapshots) { g.file.Peers.CertFile = fifo(t) }},
		"large key":   {GivenHandshake, AskedFailed, func(g, _ *snapshots) { g.file.Peers.KeyFile = padded(t, g.file.Peers.KeyFile) }},
		"fifo of CA":  {"", AskedFailed, func(_, a *snapshots) { a.file.Peers.CAFile = fifo(t) }},
		"large CA":    {"", AskedFailed, func(_, a *snapshots) { a.file.Peers.CAFile = padded(t, a.file.Peers.CAFile) }},
		"plain":       {GivenHandshake, AskedFailed, func(_, a *snapshots) { a.file.Peers.CertFile = "" }},
		"certificate": {GivenHandshake, AskedFailed, func(g, _ *snapshots) { g.file.Peers.KeyFile = certified(t, "peers.example").KeyFile }},
		"cluster":     {GivenWhole, AskedRefused, func(_, a *snapshots) { a.state.requests.counts.Host = "10.96.0.2:443" }},
		"options":     {GivenWhole, AskedRefused, func(_, a *snapshots) { a.state.options.Zonal = true }},
		"old":         {GivenWhole, AskedRefused, func(_, a *snapshots) { a.file.MaxAge = 0 }},
		"large":       {GivenWhole, AskedRefused, func(_, a *snapshots) { a.limit = 100 }},
	} {
		t.Run(name, func(t *testing.T) {
			p := encrypted
			p.SecretFile = secretFile(t, sharedSecret)
			f, _ := filled(t)
			g := f.state.snapshots
			g.file.Peers = p
			a := asker(t, p, "")
			if test.edit != nil {
				test.edit(g, a)
			}
			address, stop := giving(t, g)
			offer := a.askPeer(t.Context(), address)
			if (offer != nil) != (test.asked == AskedTaken) || a.counters.Asked[test.asked] != 1 || len(a.counters.Asked) != 1 {
				t.Errorf("asked: %v", a.counters.Asked)
			}
			stop()
			want := map[Given]uint64{}
			if test.given != "" {
				want[test.given] = 1
			}
			if !maps.Equal(g.counters.Given, want) {
				t.Errorf("given: %v, want %v", g.counters.Given, want)
			}
			if offer != nil {
				offer.Drop()
			}
			noneLeft(t, a.file.Path)
		})
	}
}

// TestPeersSayOtherwise opens connections that are not those of peers. Each is in one count.
func TestPeersSayOtherwise(t *testing.T) {
	tunnel := certified(t, "peers.example")
	for text, want := range map[string]Given{
		"":                                  GivenSilent,
		"junk":                              GivenInvalid,
		"\x00\x01\x02\x03\r\n\r\n":          GivenInvalid,
		"GET /snap":                         GivenInvalid,
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n": GivenInvalid,
		"POST /snapshot HTTP/1.1\r\nHost: x\r\n\r\n":                               GivenInvalid,
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n":                                    GivenInvalid,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                         GivenInvalid,
		"GET /snapshot HTTP/1.1\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n": GivenInvalid,
		"GET /snapshot HTTP/1.1\r\nHost: x\r\n\r\n":                                GivenDenied,
	} {
		for name, p := range map[string]Peers{"plain": {}, "tls": tunnel} {
			p.SecretFile = secretFile(t, sharedSecret)
			f, _ := filled(t)
			n := f.state.snapshots
			n.file.Peers = p
			address, stop := giving(t, n)
			conn, err := net.Dial("tcp", address)
			must(t, err)
			if name == "tls" {
				over := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				must(t, over.Handshake())
				conn = over
			}
			io.WriteString(conn, text) // fails where it is not read to its end
			if len(text) < 10 {
				must(t, conn.(interface{ CloseWrite() error }).CloseWrite())
			}
			io.Copy(io.Discard, conn)
			conn.Close()
			stop()
			if !maps.Equal(n.counters.Given, map[Given]uint64{want: 1}) {
				t.Errorf("%.30q, %s: %v, want one %s", text, name, n.counters.Given, want)
			}
		}
	}
}

// fifo is one that nobody writes.
func fifo(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "fifo")
	must(t, syscall.Mkfifo(file, 0o600))
	return file
}

// padded is a file of the content of another one that goes on for longer than it may.
func padded(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	must(t, err)
	file = filepath.Join(t.TempDir(), "padded")
	must(t, os.WriteFile(file, append(content, make([]byte, mostPEM)...), 0o600))
	return file
}

// scripted is a peer that answers as it is told.
func scripted(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestPeersGiveTorn cuts what a peer gives at many lengths, with the length of the whole and with its own, and changes it.
func TestPeersGiveTorn(t *testing.T) {
	_, path := filled(t)
	whole, err := os.ReadFile(path)
	must(t, err)
	p := Peers{SecretFile: secretFile(t, sharedSecret)}
	var content []byte
	var length int
	peer := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if length >= 0 {
			w.Header().Set("Content-Length", strconv.Itoa(length))
		}
		w.Write(content)
	})
	a := asker(t, p, peer)
	refused := uint64(0)
	try := func() {
		t.Helper()
		refused++
		if offer := a.askPeer(t.Context(), peer); offer != nil || a.counters.Asked[AskedRefused] != refused ||
			a.counters.Refused[saved.Torn]+a.counters.Refused[saved.Version] != refused {
			t.Fatalf("%d octets, length %d: %v", len(content), length, a.counters)
		}
	}
	step := max(1, len(whole)/40)
	for size := 0; size < len(whole); size += step {
		content = whole[:size]
		for _, length = range []int{len(whole), size, -1} {
			try()
		}
	}
	for at := 0; at < len(whole); at += step {
		content = append([]byte(nil), whole...)
		content[at] ^= 1
		length = len(whole)
		try()
	}
	content, length = append(append([]byte(nil), whole...), 0), -1
	try()
	noneLeft(t, a.file.Path)
	content, length = whole, -1
	offer := a.askPeer(t.Context(), peer)
	if offer == nil {
		t.Fatal("what is whole is refused")
	}
	offer.Drop()
}

// TestPeersAreBounded asks peers that never end, stand still, or send elsewhere.
func TestPeersAreBounded(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}
	for name, test := range map[string]struct {
		asked    Asked
		limit    int64
		patience time.Duration
		answer   http.HandlerFunc
	}{
		"endless": {AskedRefused, 1 << 20, time.Minute, endless},
		"slow": {AskedFailed, saved.MaxSize, 100 * time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}},
		"silent": {AskedFailed, saved.MaxSize, 100 * time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}},
		"elsewhere": {AskedFailed, saved.MaxSize, time.Minute, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+scripted(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirection is followed") }), http.StatusFound)
		}},
		"panic": {AskedFailed, saved.MaxSize, time.Minute, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(name, func(t *testing.T) {
			peer := scripted(t, test.answer)
			a := asker(t, Peers{SecretFile: secretFile(t, sharedSecret)}, peer)
			a.limit, a.patience = test.limit, test.patience
			if offer := a.askPeer(t.Context(), peer); offer != nil || a.counters.Asked[test.asked] != 1 {
				t.Errorf("%v", a.counters)
			}
			noneLeft(t, a.file.Path)
		})
	}
}

// TestPeersAreNotWaitedFor has the API server come back while a peer stands still: lists come at once.
func TestPeersAreNotWaitedFor(t *testing.T) {
	asked := make(chan struct{}, 1)
	peer := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	a := asker(t, Peers{SecretFile: secretFile(t, sharedSecret)}, peer)
	a.file.After = time.Hour
	var running sync.WaitGroup
	running.Go(func() { a.run(t.Context()) })
	t.Cleanup(running.Wait)
	a.missing()
	<-asked
	must(t, a.admit(t.Context())) // the identity is known
	a.state.mu.Lock()
	defer a.state.mu.Unlock()
	if a.state.restored != 0 || len(a.counters.Asked) != 0 {
		t.Errorf("%v", a.counters)
	}
}

// TestPeersAreTakenInTime has the API server come back while the disk does not answer for what a peer has given: lists come
// at once, and nothing of it is held later.
func TestPeersAreTakenInTime(t *testing.T) {
	_, path := filled(t)
	n := fresh(t, Options{}, path)
	n.file.Peers = Peers{SecretFile: secretFile(t, sharedSecret), Ask: "127.0.0.1:1"}
	n.read = make(chan struct{})
	s := n.search(t.Context())
	defer s.stop()
	disk := make(chan struct{})
	s.taken = make(chan bool, 1)
	s.asking.Go(func() {
		<-disk
		n.restoreInTime()
		s.taken <- n.settled()
	})
	s.end()
	<-n.read
	must(t, n.admit(t.Context()))
	must(t, newStore(n.state, resourceOf(zones.Services), newAlive("services")).Replace(listOf(keptAt(2)[servicesOf]), "2"))
	held, _ := n.state.sizes()
	close(disk)
	s.tried(<-s.taken)
	if services, endpoints := n.state.sizes(); services != held || endpoints != 0 || n.state.restored != 0 {
		t.Errorf("%d services and %d endpoints are held, the list has %d", services, endpoints, held)
	}
	if len(n.counters.Refused) != 0 {
		t.Errorf("refused: %v", n.counters.Refused)
	}
}

// TestPeersGiveWhileTheDiskIsHeldUp has a peer give its snapshot while the disk still holds up one before: it is dropped, and another
// one is asked for.
func TestPeersGiveWhileTheDiskIsHeldUp(t *testing.T) {
	_, path := filled(t)
	n := fresh(t, Options{}, filepath.Join(t.TempDir(), "snapshot"))
	given, err := os.Open(path)
	must(t, err)
	defer given.Close()
	offer, err := saved.Receive(n.file.Path, given, n.limit)
	must(t, err)
	n.turn.Lock()
	if n.take(offer) {
		t.Error("nobody is asked any more")
	}
	noneLeft(t, n.file.Path)
}

// TestPeersAreAskedInNeed asks nobody where the own file can be used, nor where the API server answers first.
func TestPeersAreAskedInNeed(t *testing.T) {
	peer := scripted(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	_, path := filled(t)
	for name, file := range map[string]string{"own": path, "none": filepath.Join(t.TempDir(), "snapshot")} {
		n := fresh(t, Options{}, file)
		n.file.Peers = Peers{SecretFile: secretFile(t, sharedSecret), Ask: peer}
		n.restoreInTime()
		s := n.search(t.Context())
		if name == "none" {
			<-start(t, func() {
				if err := n.admit(t.Context()); err != nil {
					t.Error(err)
				}
			}, n.present)
			s.end()
		}
		s.begin()
		if s.offers != nil {
			t.Errorf("%s: asks", name)
		}
		s.stop()
		<-n.read
	}
}

// TestPeersAreAskedInTurn goes on with the next peer where what one gave was of no use.
func TestPeersAreAskedInTurn(t *testing.T) {
	_, path := filled(t)
	whole, err := os.ReadFile(path)
	must(t, err)
	asked := make(chan string, 8)
	var peers []string
	for _, name := range []string{"first", "second"} {
		peers = append(peers, scripted(t, func(w http.ResponseWriter, _ *http.Request) {
			asked <- name
			w.Write(whole)
		}))
	}
	n := asker(t, Peers{SecretFile: secretFile(t, sharedSecret)}, strings.Join(peers, ","))
	n.pause = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	offers := make(chan *saved.Received)
	var asking sync.WaitGroup
	asking.Go(func() { n.ask(ctx, offers) })
	for _, want := range []string{"first", "second", "first", "second"} {
		(<-offers).Drop()
		if got := <-asked; got != want {
			t.Errorf("the %s peer was asked, want the %s", got, want)
		}
	}
	cancel()
	asking.Wait()
	noneLeft(t, n.file.Path)
}

// start runs do beside the test, and returns a channel.
func start(t *testing.T, do func(), until <-chan struct{}) <-chan struct{} {
	t.Helper()
	var running sync.WaitGroup
	running.Go(do)
	t.Cleanup(running.Wait)
	return until
}

// TestGivingWaitsForReloads has a source that a reload has started leave the address to the one that still answers.
func TestGivingWaitsForReloads(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "snapshot")
	synctest.Test(t, func(t *testing.T) {
		n := fresh(t, Options{}, path)
		n.owned = make(chan struct{})
		n.file.Peers = Peers{SecretFile: "secret", Listen: taken.Addr().String()}
		lines := &bytes.Buffer{}
		n.log = slog.New(slog.NewTextHandler(lines, nil))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go n.give(ctx)
		synctest.Wait()
		if lines.Len() > 0 {
			t.Errorf("before answers come from it: %s", lines)
		}
		close(n.owned)
		synctest.Wait()
		if !strings.Contains(lines.String(), "address already in use") {
			t.Errorf("afterwards: %s", lines)
		}
	})
}

// TestSecrets reads files that are no secrets.
func TestSecrets(t *testing.T) {
	for text, good := range map[string]bool{"": false, "short": false, sharedSecret: true, sharedSecret + "\n ": true,
		sharedSecret + "\nmore": false, strings.Repeat("x", mostSecret+1): false, "0123456789abcde\x00f": false} {
		if _, err := readSecret(secretFile(t, text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := readSecret(t.TempDir()); err == nil {
		t.Error("a folder is a secret")
	}
}
