package dnstap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/clusterdns/clusterdns/observe"
)

// listen serves readers until ctx ends.
func (s *Sink) listen(ctx context.Context) {
	for ctx.Err() == nil {
		socket, err := s.open()
		if err == nil {
			s.note(nil)
			err = s.accept(ctx, socket)
		}
		if ctx.Err() == nil {
			s.note(err)
			observe.Pause(ctx, firstPause)
		}
	}
}

// open opens the socket. A socket file that nobody listens on any more is in the way of none.
func (s *Sink) open() (net.Listener, error) {
	o := &s.options
	if o.Network != "unix" {
		return net.Listen("tcp", o.Address)
	}
	if info, err := os.Lstat(o.Address); err == nil && info.Mode()&os.ModeSocket != 0 {
		if conn, err := net.Dial("unix", o.Address); err != nil {
			os.Remove(o.Address)
		} else {
			conn.Close()
		}
	}
	return net.Listen("unix", o.Address)
}

// accept takes readers until ctx or the socket ends, and returns when all of them have.
func (s *Sink) accept(ctx context.Context, socket net.Listener) error {
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	var readers sync.WaitGroup
	defer readers.Wait()
	defer socket.Close()
	places := make(chan struct{}, MostReaders)
	for {
		conn, err := socket.Accept()
		if err != nil {
			return err
		}
		select {
		case places <- struct{}{}:
			readers.Go(func() {
				defer func() { <-places }()
				defer conn.Close()
				if err := s.serve(ctx, conn); err != nil && ctx.Err() == nil {
					s.log.Info("dnstap: a reader has gone", "sink", s.options.URL(), "reader", conn.RemoteAddr(), "error", err)
				}
			})
		default:
			s.log.Warn("dnstap: too many readers", "sink", s.options.URL(), "most", MostReaders)
			conn.Close()
			observe.Pause(ctx, firstPause)
		}
	}
}

// serve sends to one reader, who gets what comes from now on.
func (s *Sink) serve(ctx context.Context, conn net.Conn) error {
	s.buffer(conn)
	below := conn
	defer context.AfterFunc(ctx, func() { below.SetReadDeadline(time.Now().Add(farewellTime)) })()
	if s.options.Network == "tls" {
		config, err := s.options.serverTLS()
		if err != nil {
			return err
		}
		conn = tls.Server(conn, config)
	}
	if err := handshake(ctx, conn); err != nil {
		return err
	}
	q := newQueue(s.options.Queue / MostReaders)
	s.mu.Lock()
	s.queues = append(s.queues, q)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queues = slices.DeleteFunc(s.queues, func(other *queue) bool { return other == q })
	}()
	return s.send(ctx, conn, q)
}

// serverTLS is read for each reader, so that a certificate that has been renewed is taken.
func (o *Options) serverTLS() (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if o.CAFile == "" {
		return config, nil
	}
	roots, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, err
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if o.SkipVerify {
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if !config.ClientCAs.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("%s has no certificate", o.CAFile)
	}
	return config, nil
}
