package device

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockName is an abstract Unix socket: there is one for all containers that have the machine's network, and it goes with its
// process.
const lockName = "@clusterdns/local_address"

// lockPatience is more than any holder takes.
const lockPatience = 5 * time.Second

// lockMachine waits until no other process has the lock. Without it only an address of two processes can be taken away for a
// moment, so what goes wrong with it is no error.
func lockMachine() (unlock func()) {
	for deadline := time.Now().Add(lockPatience); time.Now().Before(deadline); {
		l, err := net.Listen("unix", lockName)
		if err == nil {
			return func() { l.Close() }
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
		if holder, err := net.Dial("unix", lockName); err == nil {
			holder.SetReadDeadline(deadline)
			holder.Read(make([]byte, 1)) // until it is closed
			holder.Close()
		}
	}
	return func() {}
}

// The states of sockets that wait for clients, in the tables of /proc/net: a TCP socket that listens, and one of UDP that is not
// connected.
const (
	tcpListens     = "0A"
	udpUnconnected = "07"
)

// listens reports whether a socket of any process waits for clients at the address, and at no others.
func listens(address netip.Addr) bool {
	family := ""
	if address.Is6() {
		family = "6"
	}
	return inTable("/proc/self/net/udp"+family, address, udpUnconnected) ||
		inTable("/proc/self/net/tcp"+family, address, tcpListens)
}

func inTable(name string, address netip.Addr, state string) bool {
	table, err := os.Open(name)
	if err != nil {
		return false
	}
	defer table.Close()
	local := tableAddress(address) + ":"
	for lines := bufio.NewScanner(table); lines.Scan(); {
		words := strings.Fields(lines.Text()) // sl local_address rem_address st …
		if len(words) > 3 && words[3] == state && strings.HasPrefix(words[1], local) {
			return true
		}
	}
	return false
}

// tableAddress is how the kernel prints an address: words of the machine's byte order.
func tableAddress(address netip.Addr) (text string) {
	for octets := address.AsSlice(); len(octets) > 0; octets = octets[4:] {
		text += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(octets))
	}
	return text
}
