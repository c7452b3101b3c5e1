package listen

import (
	"crypto/tls"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/clusterdns/clusterdns/resolver"
)

// A handshake of each encrypted transport waits for its turn among those of all listeners of a program, and gives it back.
// One that goes on with a session, which signs nothing, does so as well, and one that fails.
func TestHandshakesTakeTurns(t *testing.T) {
	all := NewHandshakes()
	for scheme, protocols := range offered {
		l, _ := serveSecure(t, scheme, Options{Answerer: newScripted(), Handshakes: all})
		config := &tls.Config{InsecureSkipVerify: true, NextProtos: protocols, ServerName: "lab.test",
			ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		dial := func() error {
			if scheme == resolver.DoQ || scheme == resolver.DoH3 {
				conn, err := quic.DialAddr(t.Context(), l.Address().String(), config, nil)
				if err == nil {
					defer conn.CloseWithError(0, "")
					stream, _ := conn.OpenStream() // the session comes with the answer
					stream.Write(framed("hit.example."))
					stream.Close()
					stream.Read(make([]byte, 1))
				}
				return err
			}
			conn, err := tls.Dial("tcp", l.Address().String(), config)
			if err == nil {
				defer conn.Close()
				conn.Write(framed("hit.example."))
				conn.Read(make([]byte, 1))
			}
			return err
		}
		held := func(taken int) {
			t.Helper()
			until(t, func() bool { return len(all.computing) == taken && l.handshakes.waiting.Load() == 0 })
		}
		for _, name := range []string{"first", "resumed"} {
			for range cap(all.computing) {
				all.computing <- struct{}{}
			}
			done := make(chan error)
			go func() { done <- dial() }()
			until(t, func() bool { return l.handshakes.waiting.Load() == 1 })
			select {
			case err := <-done:
				t.Errorf("%s, %s: done before its turn: %v", scheme, name, err)
			default:
			}
			for range cap(all.computing) {
				<-all.computing
			}
			if err := <-done; err != nil {
				t.Errorf("%s, %s: %v", scheme, name, err)
			}
			held(0)
		}
		config.NextProtos = []string{"none"}
		if err := dial(); err == nil {
			t.Errorf("%s: another protocol is taken", scheme)
		}
		held(0)
	}
}
