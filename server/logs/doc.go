// Package logs writes lines for people: the query log, the failures of a server block, and what the server says of
// itself.
//
// Invariant: nobody who logs waits for a disk, a terminal or a pipe. Lines that come faster than they can be written
// are dropped and counted.
//
// Concurrency: QueryLog, ErrorLog and Writer each have a Run method, which writes until its context has ended and then
// writes what is left. Any number of goroutines log meanwhile. A Batch belongs to one goroutine.
package logs
