// Package secondaries has tests with name servers of other makers as secondaries of the cluster's zones: that they take
// them, follow each change, and go on to follow when the server is restarted after a burst of changes, or when another
// replica answers in its place. And with resolvers in front of it, that minimise the names they ask for.
//
//	go test ./testdata/secondaries                   # Knot DNS, seconds
//	testdata/secondaries/all                         # Debian's BIND, NSD, Knot DNS PowerDNS and Unbound, and CoreDNS
//
// -with says which ones are started; -clusterdns tests another build than that of the tree. All listen on loopback, and
// end with the test.
package secondaries
