// Package libc holds what `clusterdns explain` says of glibc, musl and Go to the real ones: each asks clusterdns, in a
// network and mount namespace with a resolv.conf of its own, and the query log has what it asked.
//
// It needs root or user namespaces, gcc, and of Debian musl-tools and iproute2.
package libc
