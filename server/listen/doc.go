// Package listen takes packets in and sends answers out: UDP, TCP, the queries that wait for upstream, and counts of
// what was served.
//
// Invariant: a query that can be answered from memory never leaves the thread that read it, and costs no allocation
// there. A query that may wait is handed to a bounded pool of goroutines; beyond the bound it is answered SERVFAIL and
// counted.
//
// Concurrency: Listener.Run owns every goroutine, and returns when its context has ended and they have. What a reload
// exchanges is one immutable value behind one atomic pointer, loaded once for each batch of packets.
package listen
