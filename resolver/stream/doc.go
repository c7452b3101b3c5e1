// Package stream asks upstreams over TCP and TLS. Few connections have many queries under way (RFC 7766 section 6.2.1.1):
// those of one cycle leave with one write, and the replies come in whatever order. No query has a goroutine, and what
// connects is the only goroutine of a connection: the receiver of package datagram tells when there is something to read,
// and nothing that is written waits. A server that takes one query at a time is found out, and is for others to ask.
package stream
