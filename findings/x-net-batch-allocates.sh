#!/usr/bin/env bash
# golang.org/x/net v0.50.0, ipv4.PacketConn.ReadBatch: reads many datagrams with one system call, and allocates for each.
#
# The buffers of the Messages are used again, their addresses are not: Addr is an interface with a new *net.UDPAddr for each
# datagram, with a net.IP of its own: 32 allocations for 16. net.UDPConn.ReadFromUDPAddrPort reads one datagram a call and allocates
# nothing. So a server that reads in batches to save system calls pays in garbage, unless it calls recvmmsg itself.
#
# Needs Go and the Go module proxy. Seen: allocations of 100 rounds of 16 datagrams over loopback.
set -euo pipefail
source "$(dirname "$0")/module.bash"
got=$(printed golang.org/x/net@v0.50.0 <<'GO'
package main

import (
	"fmt"
	"net"
	"testing"

	"golang.org/x/net/ipv4"
)

const batch = 16

func main() {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	from, err := net.DialUDP("udp4", nil, to.LocalAddr().(*net.UDPAddr))
	if err != nil {
		panic(err)
	}
	octets := make([]byte, 512)
	messages := make([]ipv4.Message, batch)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, 512)}
	}
	send := func() {
		for range batch {
			from.Write(octets)
		}
	}
	in := ipv4.NewPacketConn(to)
	batches := testing.AllocsPerRun(100, func() {
		send()
		for read := 0; read < batch; {
			n, err := in.ReadBatch(messages[read:], 0)
			if err != nil {
				panic(err)
			}
			read += n
		}
	})
	single := testing.AllocsPerRun(100, func() {
		send()
		for range batch {
			if _, _, err := to.ReadFromUDPAddrPort(octets); err != nil {
				panic(err)
			}
		}
	})
	fmt.Println("at least one a datagram with ReadBatch:", batches >= batch)
	fmt.Println("none with ReadFromUDPAddrPort:", single == 0)
}
GO
)
seen 'allocations' "$got" 'at least one a datagram with ReadBatch: true
none with ReadFromUDPAddrPort: true'
