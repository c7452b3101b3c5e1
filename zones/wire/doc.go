// Package wire is the DNS message on the hot path: it parses queries and upstreams' messages, and writes answers.
//
// Invariant: it does no I/O and trusts no length that came from the network. Parsing and writing allocate nothing, with
// the exception of Written.SetTarget and of names in presentation form. A Query and a Reply belong to one goroutine and
// are reused from packet to packet.
package wire
