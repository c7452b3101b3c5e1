package attack

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestTCPBesideSlowSecondaries: secondaries that transfer a zone and hardly read do not keep others out of TCP, nor
// another secondary out of its transfer.
func TestTCPBesideSlowSecondaries(t *testing.T) {
	dir := t.TempDir()
	var manifest strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&manifest, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: many}\n"+
			"spec: {clusterIP: 10.96.%d.%d, ports: [{name: http, port: 80}]}\n", i, 1+i/250, 1+i%250)
	}
	if err := os.WriteFile(filepath.Join(dir, "many.yaml"), []byte(manifest.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	count := size(100, 600)
	attack{
		name: fmt.Sprintf("%d slow secondaries of one client", count),
		corefile: ".:$DNS {\n bind 127.0.0.1\n kubernetes cluster.local {\n  manifests " + dir +
			"\n }\n transfer cluster.local {\n  to *\n }\n}\n",
		foreign: "-", // it reads no manifests
		run: func(t *testing.T, s *server) *honest {
			await(t, func() error { return ask(t.Context(), "tcp", s.dns, "s1.many.svc.cluster.local.", dns.TypeA) })
			ctx, cancel := context.WithCancel(t.Context())
			wait := connections(ctx, s.dns, count, func(ctx context.Context, conn net.Conn) {
				conn.(*net.TCPConn).SetReadBuffer(4096)
				conn.Write(query(t, "cluster.local.", dns.TypeAXFR))
				for ctx.Err() == nil {
					if _, err := conn.Read(make([]byte, 256)); err != nil {
						return
					}
					pause(ctx, time.Second)
				}
			})
			defer wait()
			defer cancel()
			pause(ctx, time.Second)
			transferred := make(chan error, 1)
			go func() { transferred <- transfer(s.dns) }()
			h := s.honest(ctx, size(40, 120), 25*time.Millisecond, func(ctx context.Context, _ int) error {
				return askFrom(ctx, 2, s.dns, "s1.many.svc.cluster.local.", dns.TypeA)
			})
			if err := <-transferred; err != nil {
				t.Logf("an honest secondary: %v", err)
				h.asked, h.lost, h.first = h.asked+1, h.lost+1, err
			}
			return h
		},
	}.try(t)
}

// transfer transfers the zone as an honest secondary of another address than those that attack.
func transfer(address string) error {
	conn, err := dialer(2).Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	m := new(dns.Msg).SetAxfr("cluster.local.")
	envelopes, err := (&dns.Transfer{Conn: &dns.Conn{Conn: conn}, ReadTimeout: 5 * time.Second}).In(m, address)
	if err != nil {
		return err
	}
	records := 0
	for e := range envelopes {
		if e.Error != nil {
			return e.Error
		}
		records += len(e.RR)
	}
	if records < 9000 {
		return fmt.Errorf("%w: %d records", errWrong, records)
	}
	return nil
}
