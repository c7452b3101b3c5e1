//go:build linux

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// upstreams is where everything is forwarded to: an echo over UDP, and serveUpstream.
type upstreams struct {
	udp, tcp, tls string // ports
	certificate   string // file
	processes     []*process
}

// upstreamName is in the certificate of the upstream over TLS.
const upstreamName = "upstream.example.net"

func (u *upstreams) stop() {
	for _, p := range u.processes {
		p.stop()
	}
}

// startUpstreams starts both.
func (b *bench) startUpstreams() error {
	u := &b.up
	if err := b.freePorts(&u.udp, &u.tcp, &u.tls); err != nil {
		return err
	}
	key := filepath.Join(b.dir, "key.pem")
	u.certificate = filepath.Join(b.dir, "certificate.pem")
	if err := writeCertificate(u.certificate, key); err != nil {
		return err
	}
	echo, err := b.start("upstream over UDP", b.paths["echo"], u.udp, fmt.Sprint(runtime.NumCPU()))
	if err != nil {
		return err
	}
	u.processes = append(u.processes, echo)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	streams, err := b.start("upstream over TCP and TLS", self, upstreamCommand, u.tcp, u.tls, u.certificate, key)
	if err != nil {
		return err
	}
	u.processes = append(u.processes, streams)
	return b.await(streams, time.Minute, "the upstream", streams.saidReady)
}

// startNeighbours starts processes that do nothing but use CPU time.
func (b *bench) startNeighbours() error {
	self, err := os.Executable()
	for range b.busy {
		if err != nil {
			return err
		}
		var p *process
		if p, err = b.start("neighbour", self, busyCommand); err == nil {
			b.up.processes = append(b.up.processes, p)
		}
	}
	return err
}

// writeCertificate writes a certificate that is its own authority, and its key.
func writeCertificate(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{upstreamName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}

// serveUpstream answers over TCP and TLS as echo.c does over UDP, until the process is killed.
func serveUpstream(args []string) error {
	if len(args) != 4 {
		return errors.New("want TCP-PORT TLS-PORT CERTIFICATE KEY")
	}
	certificate, err := tls.LoadX509KeyPair(args[2], args[3])
	if err != nil {
		return err
	}
	plain, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	if err != nil {
		return err
	}
	encrypted, err := tls.Listen("tcp", "127.0.0.1:"+args[1], &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go acceptAll(encrypted)
	return acceptAll(plain)
}

func acceptAll(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serveConn(c)
	}
}

// serveConn answers queries of a connection in their order. Replies leave together when no further query has been read.
func serveConn(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	var length [2]byte
	for {
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]), 512)
		if _, err := io.ReadFull(r, message); err != nil {
			return
		}
		reply := echoReply(message)
		w.Write(binary.BigEndian.AppendUint16(nil, uint16(len(reply))))
		w.Write(reply)
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}

// echoReply turns a query into its reply, as answer of echo.c.
func echoReply(query []byte) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	if end += 5; end > len(query) {
		return query
	}
	reply := append(query[:end], 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 10, 96, 0, 1)
	reply[2] |= 0x84
	reply[3] = 0x80
	reply[7], reply[9], reply[11] = 1, 0, 0
	return reply
}
