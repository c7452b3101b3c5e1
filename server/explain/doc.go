// Package explain says why a name resolves or not: it asks for it as a stub resolver in a pod does, name by name of the
// search list, and tells which question wins, or which should have, and what to do.
//
// Nothing here is on the way of a query. A Report is made for each call, by any number of goroutines at a time.
package explain
