#!/usr/bin/env bash
# dnsmasq 2.90: queries with DO, or without RD, are sent upstream each time, also for what is in the cache.
#
# Without `dnssec` and `proxy-dnssec` dnsmasq keeps no signatures, so what is cached is no answer to DO; the answer to such
# a query is kept for those without DO. A query without RD, which asks a cache for what it has (RFC 1035 section 4.1.1), gets
# what upstream has. So one client library that sets DO by default takes the cache away for its program, and
# `dig +norecurse` through dnsmasq says nothing about its cache.
#
# Needs Debian 12's dnsmasq-base (2.90-4~deb12u2), Go, the Go module proxy, and dig. Seen: how many queries come through.
set -euo pipefail
source "$(dirname "$0")/upstream.bash"
upstream 5397 <<'GO'
			add("A 192.0.2.1")
GO
dnsmasq_before 5397 5398
# through NAME OPTIONS asks three times.
through() {
	forget
	for _ in 1 2 3; do
		dig @127.0.0.1 -p 5398 "$1" A "${@:2}" >/dev/null
	done
	questions
}
seen 'three queries' "$(through name.test)" 1
seen 'of what is cached, with AD' "$(through name.test +adflag)" 0
seen 'of what is cached, with DO' "$(through name.test +dnssec)" 3
seen 'of what is cached, without RD' "$(through name.test +norecurse)" 3
seen 'of another name, with DO' "$(through other.test +dnssec)" 3
seen 'of that name, without DO' "$(through other.test)" 0
