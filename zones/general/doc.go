// Package general holds zones of any content (RFC 1034): what files and primaries say, beside the index of a cluster.
//
// A Zone is immutable: a Builder makes it from records, and a Place publishes it behind one atomic pointer, so any number
// of goroutines read it without locks, and each of them sees one version whole. All names exist in it that exist in the
// DNS, empty non-terminals too, so that one lookup tells NODATA from NXDOMAIN.
package general
