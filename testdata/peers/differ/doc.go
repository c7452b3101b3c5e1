// Package differ has the differential test: clusterdns and CoreDNS on one
// Corefile, one real API server with a random cluster, the same questions to
// both, and no difference that is not one of the table in rules_test.go.
//
// A run is a list of seeds. A seed gives the cluster, the options of the
// kubernetes directive and the questions, so that -seeds with one number
// repeats what was printed. On the same cluster it then tries three variants of
// these options, with which other zones are served or the same ones in another
// way. The package has no code of its own; everything is in its tests:
//
//	go test -count=1 ./differ                          the whole run
//	go test -count=1 ./differ -seeds 4 -shown 10       one seed, more examples
//	go test -count=1 ./differ -run Caches              TTLs, refreshes and stale answers in time
//	go test -count=1 ./differ -clusterdns FILE         another binary of ours
//	go test ./differ -run Table -update                write the table of rules
//
// A difference is explained by a rule or by nothing. A rule changes CoreDNS's
// reply into what it would have been without the difference that it names, and
// what is then left is unexplained. Where the right answer is that to another
// question (the target of an alias, the same name in lower case, the whole of
// a reply that was cut) both servers are asked that one too. Where an option
// means something else to CoreDNS, a second CoreDNS that has it in other words
// is asked as well, and the rule takes the right answer from there.
package differ
