package explain

import (
	"fmt"
	"slices"
	"strings"
)

// Libc is a stub resolver. They agree on resolv.conf(5), and not on what ends the search. TestLibc of server asks the
// real ones.
type Libc string

// The stub resolvers.
const (
	// Glibc goes on after NXDOMAIN, NODATA and SERVFAIL (__res_context_search of resolv/res_query.c). After REFUSED or no
	// reply for a name of the list it asks for the name itself and ends. The list has no limit since 2.26.
	Glibc Libc = "glibc"
	// Musl takes no domain of the list for a name with ndots dots or more, and ends at the first answer that is not
	// NXDOMAIN. SERVFAIL for one type spoils the addresses of the other. It ignores a list of 256 octets or more, and
	// ends at a domain "." (name_from_dns_search of src/network/lookup_name.c).
	Musl Libc = "musl"
	// Go, without cgo, goes on after every answer that has no address, and after silence (nameList and
	// goLookupIPCNAMEOrder of net/dnsclient_unix.go). It leaves out a domain ".".
	Go Libc = "go"
)

// Libcs are all of them.
var Libcs = []Libc{Glibc, Musl, Go}

// ParseLibc reads the name of a stub resolver.
func ParseLibc(word string) (Libc, error) {
	if libc := Libc(strings.ToLower(word)); slices.Contains(Libcs, libc) {
		return libc, nil
	}
	return "", fmt.Errorf("got %q, wants glibc, musl or go", word)
}

// Stub is a stub resolver with its resolv.conf(5).
type Stub struct {
	Libc   Libc
	Search []string // domains, without final dots; "" for the root
	Ndots  int
}

// Pod is the resolv.conf that the kubelet writes for a pod of a namespace (dnsPolicy ClusterFirst). It appends the
// search list of the node, which only the node knows.
func Pod(libc Libc, namespace, domain string) Stub {
	domain = strings.TrimSuffix(domain, ".")
	return Stub{libc, []string{namespace + ".svc." + domain, "svc." + domain, domain}, 5}
}

// mostDots is the largest ndots of all three.
const mostDots = 15

// muslLine is the length from which on musl ignores a search list.
const muslLine = 256

// first reports whether the name itself is asked for before the search list.
func (s Stub) first(name string) bool { return strings.Count(name, ".") >= min(s.Ndots, mostDots) }

// Names are the names that the stub asks for, in order, fully qualified, if none has an address.
func (s Stub) Names(name string) (names []string) {
	if absolute, ok := strings.CutSuffix(name, "."); ok {
		return []string{absolute + "."}
	}
	bare := name + "."
	if s.first(name) {
		names = append(names, bare)
		if s.Libc == Musl {
			return names
		}
	}
	for _, domain := range s.domains() {
		full := bare
		switch domain = strings.TrimSuffix(domain, "."); {
		case domain != "":
			full += domain + "."
		case s.Libc == Musl:
			return names
		case s.Libc == Go:
			continue
		}
		if len(full) <= 254 && !slices.Contains(names, full) {
			names = append(names, full)
		}
	}
	if !slices.Contains(names, bare) {
		names = append(names, bare)
	}
	return names
}

// domains is the search list as far as the stub reads it.
func (s Stub) domains() []string {
	if s.Libc == Musl && len(strings.Join(s.Search, " ")) >= muslLine {
		return nil
	}
	return s.Search
}

// found reports whether answers for one name are enough for the stub.
func (s Stub) found(answers []Answer) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool { return a.found }) &&
		!(s.Libc == Musl && slices.ContainsFunc(answers, Answer.failed))
}

// next is which of names the stub asks for after the one at i, whose answers were not enough.
func (s Stub) next(names []string, i int, answers []Answer, bare string) int {
	switch {
	case s.Libc == Musl && slices.ContainsFunc(answers, func(a Answer) bool { return !a.denied() }):
		return len(names)
	case s.Libc == Glibc && slices.ContainsFunc(answers, func(a Answer) bool { return a.refusedPort }):
		return len(names)
	case s.Libc == Glibc && names[i] != bare && slices.ContainsFunc(answers, Answer.endsList):
		if at := slices.Index(names, bare); at > i {
			return at
		}
		return len(names)
	}
	return i + 1
}
