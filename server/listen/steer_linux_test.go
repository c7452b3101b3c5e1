package listen

import (
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openReaders opens the sockets of n readers that nobody runs.
func openReaders(t *testing.T, n int) *batch {
	t.Helper()
	b, err := openBatch(freeAt(t, "127.0.0.1"), Options{Readers: n, Buffer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

// arrived is how many of the datagrams of 100 clients each reader has. The loopback interface delivers them at once.
func arrived(t *testing.T, b *batch) (each []int) {
	t.Helper()
	for range 100 {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(b.address))
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte{0})
		conn.Close()
	}
	for _, r := range b.readers {
		n := 0
		for {
			if _, _, err := unix.Recvfrom(r.fd, make([]byte, 1), unix.MSG_DONTWAIT); err != nil {
				break
			}
			n++
		}
		each = append(each, n)
	}
	return each
}

// TestSteering: the kernel gives datagrams to the readers that are in use, all of them, and none that is lost. A reader
// that is detached gets none after the end.
func TestSteering(t *testing.T) {
	b := openReaders(t, 4)
	inUse := func(what string, readers ...int) {
		t.Helper()
		each, sum := arrived(t, b), 0
		for i, n := range each {
			if sum += n; (n > 0) != slices.Contains(readers, i) {
				t.Errorf("%s: readers %v have %v datagrams", what, readers, each)
			}
		}
		if sum != 100 {
			t.Errorf("%s: %d datagrams of 100", what, sum)
		}
	}
	inUse("begin", 0)
	s, now := b.steering, b.steering.began
	pass := func(looks int, busy ...float64) {
		for range looks {
			for i, share := range busy {
				b.readers[i].busy.Add(int64(share * float64(lookTime)))
			}
			now = now.Add(lookTime)
			s.look(now)
		}
	}
	pass(1, 0.7)
	inUse("one is busy", 0, 1)
	pass(1, 0.1, 0.7)
	inUse("one of two is busy", 0, 1, 2, 3)
	pass(idleLooks-1, 0.1, 0.1)
	inUse("not idle for long", 0, 1, 2, 3)
	pass(1, 0.1, 0.1)
	inUse("idle", 0, 1)
	pass(10*idleLooks, 0.2, 0.2)
	inUse("too much for one", 0, 1)
	now = now.Add(idleLooks * lookTime)
	s.look(now)
	inUse("nothing came for long", 0)
	b.steering.end()
	detach(b.readers[0].fd, b.address)
	inUse("end", 1, 2, 3)
	pass(1, 0.7)
	inUse("after the end", 1, 2, 3)
}

// TestSteeringOfOne: one reader, or one of a reload that shares its address, has the kernel's choice.
func TestSteeringOfOne(t *testing.T) {
	if openReaders(t, 1).steering != nil {
		t.Error("one reader is steered")
	}
	var none *steering
	none.look(time.Now())
	none.end()
}
