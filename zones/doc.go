// Package zones holds the names and records of a cluster, compiled when its objects change, so that answering only
// reads.
//
// Invariant: everything that an atomic Snapshot reaches is immutable. A service, the addresses of its endpoints and
// their PTR records change together, in one store of a pointer.
//
// Concurrency: one goroutine writes an Index, through Update; any number of goroutines read it, without locks. Names
// are wire labels in lower case and relative to a zone that the reader supplies, so one Index serves several zones.
package zones
