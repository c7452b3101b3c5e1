// Package secondaries has tests with name servers of other makers as secondaries of the cluster's zones: that they take
// them, follow each change, and go on to follow when the server is restarted after a burst of changes, or when another
// replica answers in its place.
//
//	go test ./testdata/secondaries                   # Knot DNS, seconds
//	testdata/secondaries/all                         # Debian's BIND, NSD, Knot DNS and PowerDNS, and CoreDNS; minutes
//
// -with says which ones are started; -clusterdns tests another build than that of the tree. All listen on loopback, and
// end with the test.
package secondaries
