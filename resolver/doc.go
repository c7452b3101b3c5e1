// Package resolver turns one query into one answer, wire in and wire out.
//
// Answer parses a query and runs the steps of the server block that has the longest zone of its name: (*block).steps
// lists them, in a fixed order. A step answers, passes to the next one, changes the question, or leads to another name
// (an alias), which is looked up again from the choice of the block on. One finish turns the result of a step into
// rcode, SOA and Extended DNS Error. Answering is never an error: the rcode is the result.
//
// A query that only an upstream can answer is Pending: its caller hands it to Resume, where it may block. Resume
// continues with the step that forwards, and repeats nothing. Respond is both, for callers that may block anyway.
//
// Rewrite and dns64 wrap the steps: each sees the answer on its way out, and may change it or ask another question (see
// wrapper).
//
// Parts hold what outlives a reload: caches, forwarders, hosts tables and counters. Resolvers with equal options share
// them.
//
// Invariant: Answer reads memory only. It takes no lock but that of a cache shard and blocks on nothing; a hit
// allocates nothing, unless rewrite or dns64 works on it.
package resolver
