#!/usr/bin/env bash
# BIND 9.18's dig, host and nslookup: the search list ends at a domain where the name has no record of the type, and at
# SERVFAIL; programs go on.
#
# glibc and Go ask for the name in the next domain after NOERROR without records and after SERVFAIL. These tools go on after
# NXDOMAIN alone, so in a pod whose first domain has a headless Service without ready endpoints, or an empty non-terminal,
# of the name, `dig +search` and `host` show nothing and `curl` connects.
#
# Needs Debian 12's bind9-host and bind9-dnsutils (9.18), gcc, Go, the Go module proxy, dig, and root. Seen: the names asked for.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
wants dig 9.18 "$(dig -v 2>&1 | grep -o '9\.[0-9]*' | head -1)"
upstream 53 <<'GO'
			switch {
			case strings.HasSuffix(name, ".c.test."):
				add("A 192.0.2.1")
			case is("nodata"):
				deny()
			case is("servfail"):
				m.Rcode = dns.RcodeServerFailure
			default:
				m.Rcode = dns.RcodeNameError
				deny()
			}
GO
names() { asked | awk '{print $1}' | uniq | xargs; }
client gcc
for first in nodata servfail; do
	seen "getaddrinfo, $first" "$(ask $first)" 192.0.2.1
	for tool in 'dig +search' 'host' 'nslookup'; do
		forget
		$tool $first >/dev/null || true
		seen "$tool, $first" "$(names)" "$first.a.test."
	done
done
forget
seen 'dig +search, NXDOMAIN' "$(dig +search +short other; names)" $'192.0.2.1\nother.a.test. other.b.test. other.c.test.'
