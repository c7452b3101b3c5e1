// Package shadow compares answers of this server with those of a second one, CoreDNS as a rule.
//
// Compare is pure. It names each difference: what is meant is explained by one of a few kinds, the rest is not. A Shadow
// asks the second server a share of the questions that this one has answered. Add never waits: samples are copied into a
// bounded queue, and what does not fit is dropped and counted. The second server, and its absence, are the business of
// Run alone. Any number of goroutines may call Add.
package shadow
