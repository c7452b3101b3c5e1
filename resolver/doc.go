// Package resolver turns one query into one answer, wire in and wire out.
//
// The top function, (*Resolver).steps, is the list of its steps. A step answers, passes to the next, or hands on to another name
// (an alias). Answering is never an error: the rcode is the result, with an Extended DNS Error that says why.
//
// Invariant: Answer reads memory only. It takes no lock but the one of a cache shard, allocates nothing and blocks on nothing;
// what needs an upstream is done by Resolve, on a goroutine of the caller's.
package resolver
