//go:build linux

package main

import (
	"fmt"
	"slices"
)

// part is what a row is about. A server takes part in the rows whose parts it has.
type part int

const (
	forwarded part = iota
	forwardedTCP
	forwardedTLS
	cached
	cluster
	clusterTCP
	client
	updates
	memory
)

// row is a row of the table, which has a line for each server.
type row struct {
	name, about string
	part        part
	list        list
	rate        int  // queries a second; 0 is as many as are answered
	sockets     int  // of clients
	tcp         bool // pipelined, on so many connections
	edns        bool
	echoes      int   // of how many echoes the limit is
	sizes       []int // services of the clusters that are compared
	quiet       bool  // an API server that does not stream lists; for memory
	relist      bool  // that goes away and comes back; for memory
}

// shortRows is what is measured without -rows.
var shortRows = []string{"forward/udp/4", "cached/2000", "cluster/2000", "cluster/saturated"}

// allRows is every row, in the order in which they are measured. Those that change objects of the cluster are the last.
func allRows(size int) []row {
	rows := slices.Concat(forwardRows(), hitRows(), sizeRows(), updateRows(), memoryRows())
	for i := range rows {
		r := &rows[i]
		if r.sockets == 0 {
			r.sockets = 4
		}
		if r.echoes == 0 {
			r.echoes = 1
		}
		if r.sizes == nil {
			r.sizes = []int{size}
		}
	}
	return rows
}

func forwardRows() []row {
	unique := uniqueNames("udp.example.net.")
	return []row{
		{name: "forward/udp/2000", about: "forwarded misses, unique names, an upstream that answers at once; 2,000 q/s from 4 sockets", list: unique, rate: 2000, echoes: 2},
		{name: "forward/udp/4", about: "the same, 10,000 q/s", list: unique, rate: 10_000, echoes: 2},
		{name: "forward/udp/400", about: "the same, 10,000 q/s from 400 sockets", list: unique, rate: 10_000, sockets: 400, echoes: 2},
		{name: "forward/udp/saturated", about: "the same, as many as are answered", list: unique, echoes: 2},
		{name: "forward/tcp/2000", about: "the same over TCP to the upstream, 2,000 q/s", part: forwardedTCP, list: uniqueNames("tcp.example.net."), rate: 2000, echoes: 2},
		{name: "forward/tcp/saturated", about: "the same, as many as are answered", part: forwardedTCP, list: uniqueNames("tcp.example.net."), echoes: 2},
		{name: "forward/tls/2000", about: "the same over TLS to the upstream, 2,000 q/s", part: forwardedTLS, list: uniqueNames("tls.example.net."), rate: 2000, echoes: 2},
		{name: "forward/tls/saturated", about: "the same, as many as are answered", part: forwardedTLS, list: uniqueNames("tls.example.net."), echoes: 2},
	}
}

func hitRows() []row {
	rows := atRates("cached", cached, "1,000 names in the cache", cachedNames)
	rows = append(rows, atRates("cluster", cluster, "names of the cluster, as pods ask", mixOf("pods", pods))...)
	rows = append(rows, atRates("client", client, "the same; the answers of one server depend on the client, and it gives fewer addresses", mixOf("pods", pods))...)
	return append(rows,
		row{name: "cluster/tcp", about: "names of the cluster over TCP, pipelined, as many as are answered", part: clusterTCP, list: mixOf("pods", pods), tcp: true},
		row{name: "addresses/40", about: "answers of 40 addresses, as many as are answered", part: cluster, list: mixOf("40", addresses(40)), edns: true},
		row{name: "addresses/200", about: "answers of 200 addresses (3.3 kB over UDP), as many as are answered", part: cluster, list: mixOf("200", addresses(200)), edns: true},
		row{name: "ndots/4", about: "60 % NXDOMAIN, 20 % A, 15 % AAAA without data, 3 % SRV, 2 % PTR; 10,000 q/s from 4 sockets", part: cluster, list: mixOf("ndots5", ndots5), rate: 10_000},
		row{name: "ndots/400", about: "the same from 400 sockets", part: cluster, list: mixOf("ndots5", ndots5), rate: 10_000, sockets: 400},
	)
}

// atRates is rows of one list at the three rates that matter.
func atRates(name string, p part, what string, l list) []row {
	return []row{
		{name: name + "/2000", about: what + "; 2,000 q/s", part: p, list: l, rate: 2000},
		{name: name + "/10000", about: what + "; 10,000 q/s", part: p, list: l, rate: 10_000},
		{name: name + "/saturated", about: what + "; as many as are answered", part: p, list: l},
	}
}

// fewest and most are the numbers of services that the rows about size compare.
const fewest, most = 100, 100_000

func sizeRows() []row {
	what := fmt.Sprintf("names of clusters of %d and %d services", fewest, most)
	rows := atRates("services", cluster, what, mixOf("pods", pods))[1:]
	for i := range rows {
		rows[i].sizes = []int{fewest, most}
	}
	return rows
}

func updateRows() []row {
	rows := atRates("updates", updates, fmt.Sprintf("names of the cluster while %d slices a second change", updateRate), mixOf("pods", pods))
	return rows[1:]
}

func memoryRows() []row {
	return []row{
		{name: "memory/streamed", about: "memory after the first sync, and its peak; then when asked", part: memory, list: mixOf("pods", pods)},
		{name: "memory/listed", about: "the same from an API server that does not stream lists (Kubernetes up to 1.33)", part: memory, list: mixOf("pods", pods), quiet: true},
		{name: "memory/relist", about: "the peak when the API server is killed and started again, while it is asked", part: memory, list: mixOf("pods", pods), relist: true},
	}
}

// needsCluster reports whether the row needs an API server.
func (r row) needsCluster() bool { return r.part >= cluster }
