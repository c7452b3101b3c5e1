#!/usr/bin/env bash
# musl 1.2.3 (Alpine): a name with an address of IPv4 does not resolve if the answer to its AAAA question is NXDOMAIN.
#
# getaddrinfo asks for A and AAAA at once, and takes NXDOMAIN in either reply for both: the address that came in the other
# one is dropped. A name that has any record is never NXDOMAIN (RFC 2308 section 2.2, RFC 4074 section 4.2), but a rule that
# "switches IPv6 off" by answering every AAAA question with NXDOMAIN is common. glibc 2.36 and Go take the address, so such
# a rule seems to work until the first Alpine image. NOERROR without records is right, and works with all of them.
#
# Needs Debian 12's musl-tools (1.2.3-1), gcc, Go, the Go module proxy, dig, and root. Seen: what each libc prints.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
wants musl 1.2.3-1 "$(installed musl)"
upstream 53 <<'GO'
			switch {
			case q.Qtype == dns.TypeA:
				add("A 192.0.2.1")
			case is("nxdomain"):
				m.Rcode = dns.RcodeNameError
				fallthrough
			default:
				deny()
			}
GO
client musl-gcc -static
seen 'musl, AAAA is NOERROR without records' "$(ask nodata.test.)" 192.0.2.1
seen 'musl, AAAA is NXDOMAIN' "$(ask nxdomain.test.)" 'Name does not resolve'
client gcc
seen 'glibc, AAAA is NXDOMAIN' "$(ask nxdomain.test.)" 192.0.2.1
