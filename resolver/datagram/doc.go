// Package datagram sends and receives many datagrams at a small price: with one system call for several of them, and
// without telling Go's scheduler of each wait. The listeners read clients' queries with it, and the Engine asks
// upstreams over UDP.
//
// The Engine has no goroutine, no socket and no channel for each query. A query waits in a table, and a timer wheel
// looks after those that get no reply. One goroutine receives all replies.
package datagram
