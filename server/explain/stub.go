package explain

import (
	"fmt"
	"slices"
	"strings"
)

// Libc is a stub resolver. They agree on resolv.conf, and not on what ends the search.
type Libc string

// The stub resolvers.
const (
	// Glibc tries each name of the list until one has addresses; NODATA and SERVFAIL do not end the search
	// (resolv/res_query.c, res_search).
	Glibc Libc = "glibc"
	// Musl takes no domain of the list for a name with ndots dots or more, and ends the search at the first answer that
	// is not NXDOMAIN: NODATA and SERVFAIL too (src/network/lookup_name.c).
	Musl Libc = "musl"
	// Go, without cgo, is as glibc; NODATA and SERVFAIL do not end the search (net/dnsclient_unix.go, nameList).
	Go Libc = "go"
)

// Libcs are all of them.
var Libcs = []Libc{Glibc, Musl, Go}

// Stub is a stub resolver with its resolv.conf(5).
type Stub struct {
	Libc   Libc
	Search []string // domains, without final dots
	Ndots  int
}

// Pod is the resolv.conf that the kubelet writes for a pod of a namespace (dnsPolicy ClusterFirst).
func Pod(libc Libc, namespace, domain string) Stub {
	domain = strings.TrimSuffix(domain, ".")
	return Stub{libc, []string{namespace + ".svc." + domain, "svc." + domain, domain}, 5}
}

// ParseLibc reads the name of a stub resolver.
func ParseLibc(word string) (Libc, error) {
	if libc := Libc(strings.ToLower(word)); slices.Contains(Libcs, libc) {
		return libc, nil
	}
	return "", fmt.Errorf("got %q, wants glibc, musl or go", word)
}

// Names are the names that the stub asks for, in order, fully qualified.
func (s Stub) Names(name string) (names []string) {
	if absolute, ok := strings.CutSuffix(name, "."); ok {
		return []string{absolute + "."}
	}
	bare := name + "."
	asIs := strings.Count(name, ".") >= s.Ndots
	if asIs && s.Libc == Musl {
		return []string{bare}
	}
	if asIs {
		names = append(names, bare)
	}
	for _, domain := range s.Search {
		if full := bare + strings.TrimSuffix(domain, ".") + "."; len(full) <= 254 {
			names = append(names, full)
		}
	}
	if !asIs {
		names = append(names, bare)
	}
	return names
}

// endsAt reports whether the search is over after answers that have no address.
func (s Stub) endsAt(rcodes []string) bool {
	return s.Libc == Musl && slices.ContainsFunc(rcodes, func(rcode string) bool { return rcode != "NXDOMAIN" })
}
