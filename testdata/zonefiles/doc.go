// Package zonefiles has tests of zones that are not of a cluster, with name servers of other makers: that the same zone files
// give the same answers as in Knot DNS (directive file), and that zones come from Knot DNS and NSD and go to them
// (directives secondary and transfer).
//
//	go test ./testdata/zonefiles
package zonefiles
