#!/usr/bin/env bash
# glibc 2.36: after FORMERR getaddrinfo says that the name does not exist, and after SERVFAIL that it may come back.
#
# FORMERR says that the server has not understood the query, and nothing about the name (RFC 1035 section 4.1.1). getaddrinfo
# returns EAI_NONAME for it, as for NXDOMAIN, after the first reply. Programs try again after EAI_AGAIN alone, which SERVFAIL,
# REFUSED and NOTIMP give; so a server that answers what it dislikes with FORMERR makes a name seem deleted.
#
# Needs Debian 12's libc6 (2.36), gcc, Go, the Go module proxy, dig, and root. Seen: what a program is told.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
wants glibc 2.36 "$(ldd --version | sed -n '1s/.* //p')"
upstream 53 <<'GO'
			for _, rcode := range []int{dns.RcodeFormatError, dns.RcodeServerFailure, dns.RcodeRefused, dns.RcodeNotImplemented} {
				if is(strings.ToLower(dns.RcodeToString[rcode])) {
					m.Rcode = rcode
				}
			}
GO
client gcc
seen FORMERR "$(ask formerr.test.)" 'Name or service not known'
for rcode in servfail refused notimp; do
	seen "${rcode^^}" "$(ask "$rcode.test.")" 'Temporary failure in name resolution'
done
