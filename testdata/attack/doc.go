// Package attack has attacks on a running server, each a Go test: what one client, or what one tenant of a cluster, can
// send, while honest clients ask at a steady rate and their lost answers are counted. It is for measuring how much of
// the server one client can take from the others, and for holding a mend to what it has won.
//
// The tests build the server, start it as a process with a Corefile, attack it over loopback and stop it:
//
//	go test ./testdata/attack                            # a small size, seconds; what .ci/run does
//	go test -v ./testdata/attack -run Probes -args -full -coredns ../peers/coredns
//
// -full is the size of an attack in earnest, some seconds more for each. -coredns runs CoreDNS beside, with the same
// Corefile in the same run; -clusterdns runs another build in the place of one of the tree. With -v the run ends with a
// table: honest queries, those that were lost, and the memory of the server at its highest.
//
// Nothing here leaves the machine or stays: a target is always a process that the test has started itself, at a loopback
// address and a free port; numbers of connections, queries and goroutines are constants; each attack ends after a time
// that it states, and with the test.
//
// To add an attack: a file NAME_test.go with a test that fills an attack and calls try. Its run begins what attacks,
// counts honest clients with server.honest meanwhile, and returns their count.
package attack
