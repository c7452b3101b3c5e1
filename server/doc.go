// Package server takes packets in and sends answers out: listeners for UDP and TCP, the query log, metrics and the admin endpoints.
//
// Invariant: a query that can be answered from memory never leaves the thread that read it, and costs no allocation there. What may
// wait is handed to a bounded pool of goroutines, and what is over the bound is answered SERVFAIL and counted.
//
// Concurrency: every type with a Run method owns the goroutines it starts; Run returns when its context has ended and they have.
// What a reload exchanges is one immutable value behind one atomic pointer, loaded once for each batch of packets.
package server
