// Package page serves the page of the directive dashboard, and the JSON behind it: what clients ask and get, how upstreams,
// caches and watches are, the names of the clusters, and the Corefile.
//
// Invariant: a request changes nothing. Only GET and HEAD are answered, and only for a Host that is an address, localhost
// or a name that the Corefile allows: a page from elsewhere that lets its own name point at this server reads nothing (DNS
// rebinding). What comes from the network is text, on the page as in the JSON.
//
// Concurrency: any number of requests at a time. A request holds no lock while it writes.
package page
