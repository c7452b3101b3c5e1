// Command bench measures what a query costs: clusterdns as it is in this tree, at a commit, and beside it CoreDNS, Knot DNS,
// Unbound and dnsmasq, in one run on one machine, with an echo server in C as the limit. It is started by hand:
//
//	go run ./testdata/bench -h
//
// What it does, in this order:
//
//	build.go      builds all servers of ours in a temporary folder, and says which Debian packages are missing
//	world.go      starts a real API server and fills it (testdata/apiserver), and an upstream that answers at once
//	peers.go      starts the servers on loopback, each with its usual configuration
//	rows.go       the rows of the table: what is asked, how often, of whom
//	check.go      asks every server first, and compares the answers
//	measure.go    rounds, A B C A B C: dnsperf gives CPU time for each query, openloop.go the latency
//	memory.go     the rows about memory: a server is started, fills, and is asked
//	table.go      medians of the rounds, their spread, and the ratio to the echo
//
// Figures of two runs cannot be compared, ratios inside one run can. The CPU time is that of the server's process, threads that
// have ended included; the latency is from the moment at which a query was due, not from that at which it was sent, so a
// server that stalls does not hide it by delaying the generator (coordinated omission).
//
// It needs Linux: the clock of another process, epoll, and network packets that the kernel stamps.
package main
