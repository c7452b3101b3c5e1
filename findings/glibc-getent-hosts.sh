#!/usr/bin/env bash
# glibc 2.36: `getent hosts` goes through the search list for AAAA first, so the last domain with IPv6 wins over the first
# with IPv4.
#
# getaddrinfo, which programs call, asks for both types in each domain and ends at the first domain that has either.
# `getent hosts NAME`, the usual way to try a name where there is no dig, asks for AAAA in all domains, and for A only if
# there is none. It can show another name than programs get: a service of the pod's own namespace with a cluster IP of IPv4
# loses to whatever has an AAAA record further down the list. `getent ahosts NAME` calls getaddrinfo.
#
# Needs Debian 12's libc-bin (2.36), Go, the Go module proxy, dig, and root. Seen: what both print, and the questions.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
wants glibc 2.36 "$(ldd --version | sed -n '1s/.* //p')"
upstream 53 <<'GO'
			switch {
			case name == "web.a.test." && q.Qtype == dns.TypeA:
				add("A 192.0.2.1")
			case name == "web.c.test." && q.Qtype == dns.TypeAAAA:
				add("AAAA 2001:db8::3")
			default:
				deny()
			}
GO
seen 'getent ahosts' "$(getent ahosts web | awk '{print $1}' | uniq)" 192.0.2.1
forget
seen 'getent hosts' "$(getent hosts web | xargs)" '2001:db8::3 web.c.test'
seen 'questions of getent hosts' "$(asked | awk '{print $1, $2}' | xargs)" 'web.a.test. AAAA web.b.test. AAAA web.c.test. AAAA'
