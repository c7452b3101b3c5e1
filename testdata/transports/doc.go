// Package transports asks a running server over each of its transports: by clients that are not ours (kdig, dig, curl,
// gtlsclient, dnsperf), and by clients that break the rules, each of which must get its answer.
//
//	go test -count=1 ./testdata/transports
//
// The server is a process with a certificate that the test makes. Nothing leaves the machine: all is on loopback.
// Attacks on the transports, beside honest clients, are in testdata/attack.
package transports
