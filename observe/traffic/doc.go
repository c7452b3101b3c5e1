// Package traffic counts what clients ask: rates, rcodes and latencies of the last hour, the names and clients that are
// seen most, questions that only a search list made, failures with their reason, and queries as they come.
//
// Bounds: every table has a fixed number of entries, whatever comes from the network. The tables of names and clients
// are summaries (Space-Saving), and are fed with samples when there are many queries: a sample stands for as many
// queries as were passed over.
//
// Concurrency: a worker notes its queries in a Batch of its own, and passes them on to its Recorder once for each batch.
// Run alone moves them from there into the tables. While counting is off, a query costs the test of a flag. Everything
// else may be called by any goroutine.
//
// Names are in wire form and lower case, rcodes, types and sources are numbers: the room knows nothing of DNS.
package traffic
