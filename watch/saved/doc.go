// Package saved keeps the stripped objects of a cluster in a file, for a start while the API server is away. The file may
// come from another replica.
//
// Invariant: at its path stands a whole file or none; what is torn, damaged or written by a program with other types is
// told from one that is whole before any object is taken from it. Nothing that a file has makes the reader allocate more
// than a stated multiple of its size.
//
// Concurrency: Write may run in several processes; the last one to end has its file stay. A File is for one goroutine.
package saved
