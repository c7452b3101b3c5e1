// Package wire is the DNS message on the hot path: it parses a query and writes an answer.
//
// Invariant: nothing here does I/O, allocates, or trusts a length that came from the network. A Query and a Reply belong to one
// goroutine and are reused from packet to packet.
package wire
