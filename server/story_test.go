package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterdns/clusterdns/server"
	"github.com/clusterdns/clusterdns/server/config"
	"github.com/clusterdns/clusterdns/testdata/stories"
)

// TestStories tells the stories of testdata/stories from their cluster to their answers, over the sockets of a whole
// program.
func TestStories(t *testing.T) {
	stories.Run(t, "../testdata/stories", func(s *stories.Story) bool { return !s.HalfRead() }, tell)
}

func tell(t *testing.T, s *stories.Story) {
	address, ours := serve(t, s, !s.Unread())
	for _, q := range s.Questions {
		if q.UDP() {
			ask(t, q, ours, "udp", address)
		}
		if q.TCP() {
			ask(t, q, ours, "tcp", address)
		}
	}
}

// serve runs a program for the story until the end of the test. It gives the program's address, and the zones of its
// clusters.
func serve(t *testing.T, s *stories.Story, sync bool) (address string, ours []string) {
	name, text := s.Lay(t, s.Upstream(t))
	c, err := config.Parse(name, []byte(text), config.Settings{Port: 53})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listeners) != 1 {
		t.Fatalf("the Corefile has %d listeners, and a story has one", len(c.Listeners))
	}
	c.Listeners[0].Addresses = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	for _, b := range c.Listeners[0].Blocks {
		for _, k := range b.Steps.Kubernetes {
			ours = append(ours, k.Zones...)
		}
	}
	p := server.NewProgram(io.Discard, slog.New(slog.DiscardHandler))
	t.Cleanup(p.Close)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Apply(ctx, c); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := p.Synced(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return p.Addresses()[0].String(), ours
}

// ask asks one question and judges the answer.
func ask(t *testing.T, q *stories.Question, ours []string, network, address string) {
	t.Helper()
	reply, err := exchange(q, network, address)
	if err != nil {
		t.Errorf("%s, over %s: %v", q.Text, network, err)
		return
	}
	got, err := q.Read(reply, network == "udp")
	if err != nil {
		t.Errorf("%s, over %s: %v\n%s", q.Text, network, err, got)
	}
	text := whyUnread.ReplaceAllString(got.Like(q.Want).Aged(q.Want, ours).String(), "$1")
	if diff := cmp.Diff(q.Want.String(), text); diff != "" {
		t.Errorf("%s, over %s (-want +got):\n%s", q.Text, network, diff)
	}
}

// whyUnread is what only a whole program knows: why its API server cannot be read.
var whyUnread = regexp.MustCompile(`(the cluster has not been read yet): API server .*`)

// sentinel is a query that is answered whatever is served: what is met with silence has been passed over when its
// answer is there.
var sentinel = []byte("\xff\xff\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x03") // . TXT CH

// exchange sends the question's packet and gives the reply, nil for silence.
func exchange(q *stories.Question, network, address string) ([]byte, error) {
	conn, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	packets := [][]byte{q.Packet}
	if q.Want.Silence() {
		packets = append(packets, sentinel)
	}
	stream := network == "tcp"
	for _, packet := range packets {
		if stream {
			packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
		}
		if _, err := conn.Write(packet); err != nil && !(stream && q.Want.Silence()) {
			return nil, err
		}
	}
	reply, err := receive(conn, stream)
	switch {
	case !q.Want.Silence():
		return reply, err
	case err == nil && binary.BigEndian.Uint16(reply) == 0xffff, stream && errors.Is(err, io.EOF), stream &&
		errors.Is(err, syscall.ECONNRESET):
		return nil, nil // over TCP a closed connection is silence too
	}
	return reply, err
}

// receive reads one message.
func receive(conn net.Conn, stream bool) ([]byte, error) {
	buf := make([]byte, 1<<16)
	if !stream {
		n, err := conn.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(conn, buf[:2]); err != nil {
		return nil, err
	}
	buf = buf[:binary.BigEndian.Uint16(buf)]
	_, err := io.ReadFull(conn, buf)
	return buf, err
}
