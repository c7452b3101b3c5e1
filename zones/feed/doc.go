// Package feed writes general zones: it reads them from files and folders and transfers them from primaries, and follows
// them when they change. Nothing here is on the way of a query: a feed publishes each version whole in a general.Place,
// and the last good one stays while what comes is broken.
//
// Each feed has one Run, which owns all that the feed starts and returns when its context has ended.
package feed
